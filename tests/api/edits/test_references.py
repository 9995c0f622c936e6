"""Images in JSON, in every way clients write them."""

from typing import Any

import pytest

from app.api.edits.references import Reference, take_references
from app.errors import InvalidRequest


def taken(lenient: bool = True, **fields: Any) -> list[Reference]:
    rest, found = take_references({"prompt": "A fox", **fields}, lenient=lenient)
    assert rest == {"prompt": "A fox"}
    return found


def test_strict_mode_takes_what_is_documented() -> None:
    images = [{"image_url": "data:0"}, {"image_url": "data:1"}]
    assert taken(lenient=False, images=images, mask={"image_url": "data:2"}) == [
        Reference("image", "images[0]", "data:0"),
        Reference("image", "images[1]", "data:1"),
        Reference("mask", "mask", "data:2"),
    ]
    assert taken(lenient=False, images=images[:1], mask=None) == [Reference("image", "images[0]", "data:0")]


@pytest.mark.parametrize(
    "fields",
    [
        {"images": "data:0"},
        {"images": ["data:0"]},
        {"images": {"image_url": "data:0"}},
        {"image": "data:0"},
        {"image": ["data:0"]},
        {"image": {"image_url": {"url": "data:0", "detail": "high"}}},
        {"images": [{"type": "input_image", "image_url": "data:0"}]},
    ],
)
def test_lenient_mode_takes_what_clients_send(fields: dict[str, Any]) -> None:
    assert taken(**fields) == [Reference("image", "images[0]", "data:0")]
    with pytest.raises(InvalidRequest):
        taken(lenient=False, **fields)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"images": []}, "images", "empty_array"),
        ({"images": 3}, "images", "invalid_type"),
        ({"images": [3]}, "images[0]", "invalid_type"),
        ({"images": [{}]}, "images[0].image_url", "invalid_type"),
        ({"images": ["data:0", {"file_id": "f"}]}, "images[1].file_id", "unsupported_parameter"),
        ({"images": [{"image_url": "data:0", "x": 1}]}, "images[0].x", "unknown_parameter"),
        ({"images": ["data:0"], "image": "data:1"}, "image", "invalid_value"),
        ({"images": ["data:0"], "mask": 5}, "mask", "invalid_type"),
        ({"images": ["data:0"], "mask": {"file_id": "f"}}, "mask.file_id", "unsupported_parameter"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        taken(**fields)
    assert (refused.value.param, refused.value.code) == (param, code)
