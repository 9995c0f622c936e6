"""The stand-in refuses what the real one refuses, in the same words."""

from typing import Any

import pytest

from app.images.catalog.catalog import load_catalog
from app.sandbox.requests.asked import check
from app.sandbox.requests.refusals import SandboxRefusal
from tests.sandbox.support import asked

MISSING = object()


def refuse(operation: str = "generation", inputs: Any = (), **fields: Any) -> tuple[int, dict[str, Any]]:
    given = {"model": "gpt-image-2", "prompt": "A fox", **fields}
    with pytest.raises(SandboxRefusal) as refused:
        check({k: v for k, v in given.items() if v is not MISSING}, operation, inputs, load_catalog())
    error = refused.value.body["error"]
    assert isinstance(error, dict)
    return refused.value.status, error


def test_what_is_omitted_or_auto_is_decided() -> None:
    for fields in ({}, {"size": "auto", "quality": "auto", "background": "auto"}, {"size": None, "n": None}):
        request = asked(**fields)
        assert (request.size, request.width, request.height) == ("1024x1024", 1024, 1024)
        assert (request.quality, request.background, request.n) == ("medium", "opaque", 1)
        assert (request.output_format, request.compression, request.frames) == ("png", 100, 1)


@pytest.mark.parametrize(
    "name", ["gpt-image-2", "openai/gpt-image-2", "openai/gpt-image-2:azure", "gpt-image-2-2026-04-21"]
)
def test_a_model_has_several_names(name: str) -> None:
    assert asked(model=name).spec.id == "openai/gpt-image-2"


@pytest.mark.parametrize(
    ("model", "status", "kind", "message"),
    [
        (MISSING, 400, "invalid_params", "Parameter model is required"),
        (None, 400, "invalid_params", "Parameter model is required"),
        (123, 400, "invalid_params", "Model 123 is not valid"),
        ("nope", 404, "invalid_model", "The model nope does not exist"),
        ("dall-e-3", 404, "invalid_model", "The model dall-e-3 does not exist"),
    ],
)
def test_zenmux_checks_the_model(model: object, status: int, kind: str, message: str) -> None:
    found, error = refuse(model=model)
    assert (found, error) == (status, {"code": str(status), "type": kind, "message": message})


def test_a_long_prompt_is_zenmuxs_to_refuse() -> None:
    assert refuse(prompt="x" * 32_001)[0] == 413
    assert asked("x" * 32_000).prompt


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"response_format": None}, "unknown_parameter", "response_format"),
        ({"style": "vivid"}, "unknown_parameter", "style"),
        ({"mask": "x"}, "unknown_parameter", "mask"),
        ({"frame_count": 3}, "unknown_parameter", "frame_count"),
        ({"prompt": MISSING}, "missing_required_parameter", "prompt"),
        ({"prompt": None}, "invalid_type", "prompt"),
        ({"prompt": ""}, "empty_string", "prompt"),
        ({"n": 0}, "integer_below_min_value", "n"),
        ({"n": 11}, "integer_above_max_value", "n"),
        ({"partial_images": 4}, "integer_above_max_value", "partial_images"),
        ({"output_compression": 101, "output_format": "webp"}, "integer_above_max_value", "output_compression"),
        ({"quality": "hd"}, "invalid_value", "quality"),
        ({"quality": "max"}, "invalid_value", "quality"),
        ({"output_format": "gif"}, "invalid_value", "output_format"),
        ({"moderation": "high"}, "invalid_value", "moderation"),
        ({"background": "red"}, "invalid_value", "background"),
        ({"background": "transparent"}, "invalid_value", "background"),
        ({"size": "bogus"}, "invalid_value", "size"),
        ({"size": "9x9"}, "invalid_value", "size"),
        ({"size": "256x256"}, "invalid_value", "size"),
        ({"size": "1920x1080"}, "invalid_value", "size"),
        ({"size": "1254x836", "model": "gpt-image-1.5"}, "invalid_value", "size"),
        ({"stream": "yes"}, "invalid_type", "stream"),
        ({"stream": True, "n": 2}, "unsupported_parameter", "input"),
        ({"output_compression": 50}, "invalid_png_output_compression", "output_compression"),
        ({"model": "gpt-image-1.5", "background": "transparent", "output_format": "jpeg"}, "invalid_value",
         "background"),
    ],
)  # fmt: skip
def test_rules_of_images_are_refused_as_openai_does(fields: dict[str, Any], code: str, param: str) -> None:
    status, error = refuse(**fields)
    assert status == 400
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)


def test_sizes_and_streams_are_the_image_services_own_refusals() -> None:
    assert refuse(size="9x9")[1]["type"] == "image_generation_user_error"
    assert refuse(size="9x9")[1]["message"] == "Invalid size '9x9'. Width and height must both be divisible by 16."
    assert refuse(stream=True, n=2)[1]["message"] == "Streaming is only supported with n=1."
    assert refuse(quality="ultra")[1]["type"] == "invalid_request_error"


def test_the_first_fault_in_the_measured_order_is_told() -> None:
    assert refuse(model="nope", style=1)[1]["type"] == "invalid_model"
    assert refuse(style=1, prompt="")[1]["code"] == "unknown_parameter"
    assert refuse(prompt="", n=0)[1]["code"] == "empty_string"
    assert refuse(n=0, size="9x9")[1]["param"] == "n"


def test_newer_models_take_more() -> None:
    request = asked(model="gpt-image-2.5-flare", quality="max", background="transparent", size="2048x1152")
    assert (request.quality, request.background, request.width, request.height) == ("max", "transparent", 2048, 1152)
    moving = asked(model="gpt-image-2.6-flare", output_format="gif", frame_count=3, complexity="low")
    assert moving.frames == 3
    assert refuse(model="gpt-image-2.6-flare", output_format="gif", stream=True)[1]["param"] == "stream"


@pytest.mark.parametrize("prompt", ["A fox [sandbox: nonsense]", "A fox [sandbox: no-completed]"])
def test_directives_that_cannot_be_followed_are_refused(prompt: str) -> None:
    status, error = refuse(prompt=prompt)
    assert (status, error["type"]) == (400, "invalid_params")


def test_partial_images_outside_a_stream_are_not_drawn() -> None:
    assert asked(partial_images=2).partial_images == 0
    assert asked(partial_images=2, stream=True).partial_images == 2


def test_edits_need_one_to_sixteen_images() -> None:
    assert refuse("edit")[1]["code"] == "missing_required_parameter"
    assert refuse("edit", inputs=[(64, 64)] * 17)[1]["code"] == "array_above_max_length"
    assert asked(operation="edit", inputs=[(64, 64)] * 16).inputs == ((64, 64),) * 16


def test_auto_is_the_quality_it_was_seen_to_be() -> None:
    assert asked(model="gpt-image-2.6-sunburst").quality == "high"
    assert asked(model="gpt-image-2.6-flare").quality == "medium"


def test_input_fidelity_is_for_the_older_models() -> None:
    assert refuse("edit", [(64, 64)], input_fidelity="high")[1]["code"] == "invalid_input_fidelity_model"
    old = asked(operation="edit", inputs=[(64, 64)], input_fidelity="high", model="gpt-image-1.5")
    assert old.input_fidelity == "high"
