"""Lenient mode: what old clients send, what it becomes, and that each change is reported."""

import pytest

from app.errors import InvalidRequest
from app.images.catalog.catalog import ModelSpec, load_catalog
from app.images.request.compatibility import modernize, response_format
from app.images.request.normalize import RequestPolicy, normalize
from tests.days import TODAY

CATALOG = load_catalog()
LENIENT = RequestPolicy(CATALOG, lenient=True, default_model=None, successor_model="gpt-image-2",
                        unknown_model_hold_nanousd=None)  # fmt: skip


def model(name: str) -> ModelSpec:
    spec = CATALOG.find(name)
    assert spec is not None
    return spec


@pytest.mark.parametrize(
    ("name", "field", "sent", "becomes"),
    [
        ("gpt-image-2", "quality", "hd", "high"),
        ("gpt-image-2", "quality", "standard", "medium"),
        ("gpt-image-1.5", "quality", "hd", "high"),
        ("gpt-image-2", "size", "256x256", "1024x1024"),
        ("gpt-image-2", "size", "512x512", "1024x1024"),
        ("gpt-image-2", "size", "640x480", "1024x1024"),
        ("gpt-image-1.5", "size", "256x256", "1024x1024"),
        ("gpt-image-1.5", "size", "512x512", "1024x1024"),
        ("gpt-image-1.5", "size", "1792x1024", "1536x1024"),
        ("gpt-image-1-mini", "size", "1024x1792", "1024x1536"),
    ],
)
def test_old_values_become_new_ones(name: str, field: str, sent: str, becomes: str) -> None:
    assert modernize({field: sent}, model(name)) == ({field: becomes}, (f"{field}={sent}->{becomes}",))


@pytest.mark.parametrize(
    ("name", "field", "sent"),
    [
        ("gpt-image-2", "quality", "ultra"),
        ("gpt-image-2", "quality", "high"),
        ("gpt-image-2", "quality", None),
        ("gpt-image-2", "quality", ["hd"]),
        ("gpt-image-2", "size", "1792x1024"),
        ("gpt-image-2", "size", "1024x1792"),
        ("gpt-image-2", "size", "9x9"),
        ("gpt-image-2", "size", "16x512"),
        ("gpt-image-2", "size", "1920x1080"),
        ("gpt-image-2", "size", "auto"),
        ("gpt-image-2", "size", 256),
        ("gpt-image-1.5", "size", "1254x836"),
        ("gpt-image-1.5", "size", "2048x2048"),
        ("gpt-image-2", "n", "2"),
    ],
)
def test_nothing_else_is_touched(name: str, field: str, sent: object) -> None:
    assert modernize({field: sent}, model(name)) == ({field: sent}, ())


@pytest.mark.parametrize(
    "fields",
    [
        {"style": "vivid"},
        {"style": None},
        {"style": 5},
        {"response_format": "b64_json"},
        {"response_format": None},
    ],
)
def test_retired_parameters_are_dropped(fields: dict[str, object]) -> None:
    (name,) = fields
    assert modernize(fields, model("gpt-image-2")) == ({}, (f"{name}=dropped",))


def test_response_format_url_is_given_and_so_nothing_is_changed() -> None:
    assert modernize({"response_format": "url"}, model("gpt-image-2")) == ({}, ())


@pytest.mark.parametrize(
    ("fields", "default", "how"),
    [
        ({"model": "gpt-image-2"}, "auto", ("b64_json", False)),
        ({"model": "gpt-image-2", "response_format": None}, "auto", ("b64_json", False)),
        ({"model": "gpt-image-2", "response_format": "url"}, "auto", ("url", True)),
        ({"model": "dall-e-3"}, "auto", ("url", False)),
        ({"model": "OpenAI/DALL-E-2"}, "auto", ("url", False)),
        ({"model": "dall-e-3", "response_format": "b64_json"}, "url", ("b64_json", True)),
        ({"model": "dall-e-3", "stream": True}, "auto", ("b64_json", False)),
        ({"model": "dall-e-3"}, "b64_json", ("b64_json", False)),
        ({"model": "my-dall-e-3"}, "auto", ("b64_json", False)),
        ({"model": 5}, "auto", ("b64_json", False)),
        ({}, "url", ("url", False)),
    ],
)
def test_how_images_come(fields: dict[str, object], default: str, how: tuple[str, bool]) -> None:
    assert response_format(fields, model("gpt-image-2"), default) == how


@pytest.mark.parametrize(("sent", "code"), [("xml", "invalid_value"), (5, "invalid_type"), ([], "invalid_type")])
def test_response_formats_that_never_were_are_refused(sent: object, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        modernize({"response_format": sent}, model("gpt-image-2"))
    assert (caught.value.param, caught.value.code) == ("response_format", code)


@pytest.mark.parametrize("name", ["dall-e-2", "dall-e-3", "gpt-image-1", "openai/dall-e-3"])
def test_a_whole_request_of_a_dall_e_client(name: str) -> None:
    request = normalize(
        {
            "model": name, "prompt": "a fox", "n": 1, "size": "1792x1024", "quality": "hd", "style": "vivid",
            "response_format": "b64_json", "user": "u1",
        },
        LENIENT, TODAY,
    )  # fmt: skip
    assert request.fields == {
        "model": "openai/gpt-image-2", "prompt": "a fox", "n": 1, "size": "1792x1024", "quality": "high", "user": "u1"
    }  # fmt: skip
    assert request.changes == (
        f"model={name}->gpt-image-2", "style=dropped", "response_format=dropped", "quality=hd->high"
    )  # fmt: skip


def test_another_successor_and_its_own_sizes() -> None:
    policy = RequestPolicy(CATALOG, lenient=True, default_model=None, successor_model="gpt-image-1-mini",
                           unknown_model_hold_nanousd=None)  # fmt: skip
    request = normalize({"model": "dall-e-3", "prompt": "a fox", "size": "1792x1024"}, policy, TODAY)
    assert request.changes == ("model=dall-e-3->gpt-image-1-mini", "size=1792x1024->1536x1024")


def test_translation_does_not_hide_a_fault() -> None:
    with pytest.raises(InvalidRequest) as caught:
        normalize({"model": "dall-e-3", "prompt": "a fox", "style": "vivid", "n": 0}, LENIENT, TODAY)
    assert caught.value.param == "n"


def test_a_model_that_takes_them_keeps_them() -> None:
    catalog = load_catalog(
        '[models."old"]\nid = "x/old"\nprices = { per_image = "0.04" }\n'
        'parameters = ["size", "quality", "style", "response_format"]\n'
        'qualities = ["medium", "standard", "high", "hd"]\n'
        'sizes = { rule = "list", values = ["256x256", "1792x1024"] }\n'
    )
    spec = catalog.find("old")
    assert spec is not None
    for fields in ({"quality": "hd"}, {"size": "256x256"}, {"style": "vivid"}, {"response_format": "url"}):
        assert modernize(fields, spec) == (fields, ())


def test_a_small_size_stays_where_1024_is_not_valid_either() -> None:
    catalog = load_catalog(
        '[models.large]\nid = "x/large"\nprices = { per_image = "0.04" }\nsizes = { rule = "bounds", multiple_of = 16, '
        "edge_max = 4096, ratio_max = 3, pixels_min = 4_000_000, pixels_max = 16_777_216 }\n"
    )
    spec = catalog.find("large")
    assert spec is not None
    assert modernize({"size": "512x512"}, spec) == ({"size": "512x512"}, ())
