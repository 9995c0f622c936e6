"""What goes to ZenMux as a form: of the length it announces, and read by its parser as what it is."""

import tracemalloc
from collections.abc import AsyncIterator

import orjson
from multipart import MultipartSegment, PushMultipartParser

from app.exchange.bodies import FormFile, edit_body, form_body, json_body
from app.upstream.sending import Upload


def file_of(name: str, data: bytes) -> FormFile:
    async def read() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 3):
            yield data[start : start + 3]

    return FormFile(name, f"{name}.png", "image/png", len(data), read)


async def test_a_form_is_what_it_announces() -> None:
    fields = {"prompt": "A fox\r\n--x\r\n🦊", "n": 2, "stream": True, "odd": {"a": [1]}}
    body = form_body(fields, [file_of("image[]", b"one"), file_of("mask", b"\r\n--x")], "xyz")
    assert isinstance(body.content, Upload)
    sent = b"".join([chunk async for chunk in body.content.chunks])
    assert len(sent) == body.content.length
    assert body.content_type == "multipart/form-data; boundary=xyz"
    names, values = [], list[bytes]()
    with PushMultipartParser("xyz", strict=True, content_length=len(sent)) as parser:
        for event in parser.parse(sent):
            if isinstance(event, MultipartSegment):
                names.append((event.name, event.filename, event.content_type))
                values.append(b"")
            elif event is not None:
                values[-1] += event
    assert names == [
        *((name, None, None) for name in ("prompt", "n", "stream", "odd")),
        ("image[]", "image[].png", "image/png"),
        ("mask", "mask.png", "image/png"),
    ]
    assert values == ["A fox\r\n--x\r\n🦊".encode(), b"2", b"true", b'{"a":[1]}', b"one", b"\r\n--x"]


def test_a_document() -> None:
    body = json_body({"n": 2})
    assert isinstance(body.content, bytes)
    assert (orjson.loads(body.content), body.content_type) == ({"n": 2}, "application/json")


async def test_a_document_with_an_address_in_it() -> None:
    remote = FormFile("image[]", "", "", 0, file_of("", b"").read, "https://example.com/a.png")
    ended = list[str]()

    async def on_sent() -> None:
        ended.append("sent")

    files = [file_of("image[]", b"abcd"), remote, file_of("mask", b"x")]
    body = edit_body({"n": 2}, files, lambda: "xyz", on_sent)
    assert isinstance(body.content, Upload)
    sent = b""
    async for chunk in body.content.chunks:
        assert not ended
        sent += chunk
    assert ended == ["sent"]
    assert len(sent) == body.content.length
    assert (orjson.loads(sent), body.content_type) == (
        {
            "n": 2,
            "images": [{"image_url": "data:image/png;base64,YWJjZA=="}, {"image_url": "https://example.com/a.png"}],
            "mask": {"image_url": "data:image/png;base64,eA=="},
        },
        "application/json",
    )
    form = edit_body({}, [file_of("image[]", b"abcd")], lambda: "xyz", on_sent)
    assert form.content_type == "multipart/form-data; boundary=xyz"


def test_a_document_that_waits_occupies_no_more_than_its_bytes() -> None:
    """orjson's own result keeps the 4 KB it was written into, and thousands of requests may wait."""
    fields = {"model": "openai/gpt-image-2", "prompt": "A fox"}
    json_body(fields)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        body = json_body(fields)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert body.content == orjson.dumps(fields)
    assert after - before < 1024
