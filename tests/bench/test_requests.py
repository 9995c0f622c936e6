import json

from app.images.request.image_head import ImageHead, read_head
from bench.requests import document, form, png


def test_an_image_is_a_png_of_the_size_asked_for() -> None:
    made = png(1_000_000)
    assert len(made) == 1_000_000
    assert read_head(lambda offset, size: made[offset : offset + size], len(made)) == ImageHead(
        "png", 1024, 1024, False
    )


def test_a_form_has_its_fields_in_front_of_its_png() -> None:
    asked = form({"model": "m", "prompt": "2KB", "n": 1}, 2_000)
    assert asked.path == "/v1/images/edits"
    boundary = asked.headers["content-type"].partition("boundary=")[2].encode()
    parts = asked.body.split(b"--" + boundary)
    assert parts[0] == b""
    assert parts[-1] == b"--\r\n"
    assert [part.partition(b"\r\n\r\n")[2] for part in parts[1:-1]] == [
        b"m\r\n",
        b"2KB\r\n",
        b"1\r\n",
        png(2_000) + b"\r\n",
    ]


def test_a_document_is_json() -> None:
    assert json.loads(document({"n": 1}).body) == {"n": 1}
