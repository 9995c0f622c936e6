"""The playground's form as the API's fields."""

import pytest

from app.console.member.asked import asked_fields
from app.console.web.forms import Form
from app.errors import InvalidRequest


def test_what_is_empty_is_left_out_and_numbers_are_numbers() -> None:
    form = Form(
        [
            *(("prompt", "a boat\r\nat sea"), ("model", "gpt-image-2"), ("size", " 1024x1024 "), ("quality", "")),
            *(("n", "2"), ("output_compression", ""), ("partial_images", "3"), ("key", "abc"), ("do", "make")),
        ]
    )
    wanted = {"prompt": "a boat\nat sea", "model": "gpt-image-2", "size": "1024x1024", "n": 2}
    assert asked_fields(form) == wanted


def test_only_a_stream_asks_for_partial_images() -> None:
    fields = asked_fields(Form([("prompt", "x"), ("stream", "true"), ("partial_images", "3")]))
    assert fields == {"prompt": "x", "stream": True, "partial_images": 3}
    assert asked_fields(Form([("prompt", "x"), ("keep", "true")])) == {"prompt": "x", "response_format": "url"}
    assert asked_fields(Form([("prompt", "x"), ("stream", "true")])) == {"prompt": "x", "stream": True}


def test_a_number_that_is_none_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidRequest) as refused:
        asked_fields(Form([("prompt", "x"), ("n", "many")]))
    assert refused.value.param == "n"
