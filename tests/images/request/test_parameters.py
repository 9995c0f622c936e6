"""Rules between values that are each valid: formats, compression, transparency, streams, animation."""

import pytest

from app.errors import InvalidRequest
from app.images.catalog.catalog import ModelSpec, load_catalog
from app.images.request.parameters import check_names, check_together, check_values

CATALOG = load_catalog()
FLARE, NEWEST = "gpt-image-2.5-flare", "gpt-image-2.6-flare"


def model(name: str) -> ModelSpec:
    spec = CATALOG.find(name)
    assert spec is not None
    return spec


@pytest.mark.parametrize(
    ("name", "fields", "param", "code"),
    [
        ("gpt-image-2", {"output_format": "png", "output_compression": 99}, "output_compression",
         "invalid_png_output_compression"),
        ("gpt-image-2", {"output_compression": 0}, "output_compression", "invalid_png_output_compression"),
        (FLARE, {"background": "transparent", "output_format": "jpeg"}, "background", "invalid_value"),
        (NEWEST, {"background": "transparent", "output_format": "gif"}, "background", "invalid_value"),
        (NEWEST, {"output_format": "gif", "stream": True}, "stream", "unsupported_parameter"),
        (NEWEST, {"output_format": "gif", "partial_images": 1}, "partial_images", "unsupported_parameter"),
        (NEWEST, {"output_format": "gif", "output_compression": 100}, "output_compression", "unsupported_parameter"),
        (NEWEST, {"frame_count": 4}, "frame_count", "unsupported_parameter"),
        (NEWEST, {"output_format": "webp", "frame_duration_ms": 100}, "frame_duration_ms", "unsupported_parameter"),
    ],
)  # fmt: skip
def test_values_that_do_not_go_together(name: str, fields: dict[str, object], param: str, code: str) -> None:
    check_values(fields | {"prompt": "a fox"}, model(name))
    with pytest.raises(InvalidRequest) as caught:
        check_together(fields, model(name))
    assert (caught.value.param, caught.value.code) == (param, code)


def test_a_stream_of_more_than_one_image_is_refused_as_measured() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_together({"stream": True, "n": 2}, model("gpt-image-2"))
    error = caught.value
    assert (error.message, error.kind, error.param, error.code) == (
        "Streaming is only supported with n=1.", "image_generation_user_error", "input", "unsupported_parameter"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        (FLARE, {"background": "transparent"}),
        (FLARE, {"background": "transparent", "output_format": "webp"}),
        (FLARE, {"background": "opaque", "output_format": "jpeg"}),
        ("gpt-image-2", {"output_format": "png", "output_compression": 100}),
        ("gpt-image-2", {"output_format": "webp", "output_compression": 1}),
        ("gpt-image-2", {"stream": False, "n": 2}),
        ("gpt-image-2", {"partial_images": 2}),
        (NEWEST, {"output_format": "gif", "stream": False, "partial_images": 0, "frame_count": 16}),
        (NEWEST, {"output_format": "gif", "n": 2}),
    ],
)
def test_values_that_go_together(name: str, fields: dict[str, object]) -> None:
    check_values(fields | {"prompt": "a fox"}, model(name))
    check_together(fields, model(name))


@pytest.mark.parametrize(
    ("name", "fields", "param", "code"),
    [
        ("gpt-image-2", {"output_format": "gif"}, "output_format", "invalid_value"),
        (NEWEST, {"output_format": "svg"}, "output_format", "invalid_value"),
        ("gpt-image-2", {"quality": "xhigh"}, "quality", "invalid_value"),
        ("gpt-image-1.5", {"quality": "max"}, "quality", "invalid_value"),
        (NEWEST, {"complexity": "extreme"}, "complexity", "invalid_value"),
        (NEWEST, {"frame_count": 1}, "frame_count", "integer_below_min_value"),
        (NEWEST, {"frame_count": 17}, "frame_count", "integer_above_max_value"),
        (NEWEST, {"frame_duration_ms": 0}, "frame_duration_ms", "integer_below_min_value"),
        (NEWEST, {"frame_count": None}, "frame_count", "invalid_type"),
        ("gpt-image-2", {"user": "u" * 513}, "user", "string_above_max_length"),
        ("gpt-image-2", {"user": True}, "user", "invalid_type"),
        ("gpt-image-2", {"user": 1.5}, "user", "invalid_type"),
        ("gpt-image-2", {"safety_identifier": "s" * 129}, "safety_identifier", "string_above_max_length"),
        ("gpt-image-2", {"safety_identifier": 123}, "safety_identifier", "invalid_type"),
    ],
)
def test_values_a_model_does_not_take(name: str, fields: dict[str, object], param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_values(fields | {"prompt": "a fox"}, model(name))
    assert (caught.value.param, caught.value.code) == (param, code)


def test_svg_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidRequest, match=r"'webp', 'jpeg', and 'gif'\. SVG is not offered: .* cost"):
        check_values({"prompt": "a fox", "output_format": "svg"}, model(NEWEST))


def test_qualities_are_listed_as_the_model_has_them() -> None:
    with pytest.raises(InvalidRequest, match="'low', 'medium', 'high', 'xhigh', 'max', and 'auto'"):
        check_values({"prompt": "a fox", "quality": "hd"}, model(FLARE))


def test_each_model_says_how_many_partial_images_it_sends() -> None:
    few = load_catalog('[models.few]\nlike = "gpt-image-2"\nid = "x/few"\npartial_images_max = 1\n').find("few")
    assert few is not None
    check_values({"prompt": "a fox", "partial_images": 1}, few)
    with pytest.raises(InvalidRequest, match="Expected a value <= 1, but got 2"):
        check_values({"prompt": "a fox", "partial_images": 2}, few)


@pytest.mark.parametrize("name", [spec.name for spec in CATALOG.models])
@pytest.mark.parametrize("param", ["style", "response_format", "svg", "mask", "images", "image", "input_fidelity"])
def test_no_listed_model_takes_these_on_generations(name: str, param: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^Unknown parameter: '{param}'"):
        check_names({"prompt": "a fox", param: 1}, model(name), may_forward=True)


@pytest.mark.parametrize("param", ["complexity", "frame_count", "frame_duration_ms"])
def test_only_2_6_takes_the_newest_parameters(param: str) -> None:
    takers = {spec.name for spec in CATALOG.models if param in spec.parameters}
    assert takers == {"gpt-image-2.6-sunburst", "gpt-image-2.6-flare"}
