"""Text as clients write it in forms, as the values it stands for."""

import pytest

from app.errors import InvalidRequest
from app.images.request.form_values import typed_fields


def test_values_are_typed() -> None:
    texts = {
        "prompt": "2",
        "n": "2",
        "stream": "True",
        "output_compression": "80.0",
        "partial_images": "+1",
        "user": " x",
    }
    assert typed_fields(texts) == {
        "prompt": "2",
        "n": 2,
        "stream": True,
        "output_compression": 80,
        "partial_images": 1,
        "user": " x",
    }


def test_what_nobody_set_is_absent() -> None:
    assert typed_fields({"n": "0", "size": "", "response_format": "", "stream": "false"}) == {"stream": False}


@pytest.mark.parametrize(
    ("name", "text"), [("n", "two"), ("n", "1.5"), ("n", "9" * 19), ("n", "١"), ("stream", "yes"), ("stream", "null")]
)
def test_what_stands_for_nothing_is_refused(name: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match="could not be converted") as refused:
        typed_fields({name: text})
    assert (refused.value.param, refused.value.code) == (name, "invalid_type")
