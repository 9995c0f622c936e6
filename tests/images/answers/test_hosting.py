"""Which parts of an answer are images, however it is cut: compared with a reader that sees all of it."""

import base64
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.images.answers.hosting import DocumentImages, EventImages, ImageBytes, ImageMark, Piece, Undecodable

IMAGE = bytes(range(256)) * 3
TEXT = base64.b64encode(IMAGE).decode()

images = st.binary(min_size=1, max_size=200)
cuts = st.lists(st.integers(0, 5000), max_size=15)
others = st.dictionaries(
    st.sampled_from(["revised_prompt", "b64", "urls", "note", "x"]),
    st.one_of(
        st.none(), st.integers(), st.text(max_size=30), st.just('","b64_json":"AAAA'), st.lists(st.text(max_size=5))
    ),
    max_size=3,
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:stop] for start, stop in pairwise(at)]


def read(reader: DocumentImages | EventImages, parts: list[bytes]) -> list[Piece]:
    pieces: list[Piece] = []
    for part in parts:
        pieces += reader.feed(memoryview(part))
    return pieces + reader.flush()


def with_links(pieces: list[Piece]) -> tuple[bytes, list[bytes]]:
    """A document as its caller gets it, and the images behind its links."""
    text, found = b"", list[bytes]()
    for piece in pieces:
        match piece:
            case bytes():
                text += piece
            case ImageBytes(data):
                found[-1] += data
            case ImageMark.BEGIN:
                found.append(b"")
            case ImageMark.END:
                text += b'"url":"%d"' % (len(found) - 1)
            case _:
                raise AssertionError(piece)
    return text, found


def as_it_was(pieces: list[Piece]) -> bytes:
    """A document as it came, out of its pieces."""
    text, image = b"", b""
    for piece in pieces:
        match piece:
            case bytes():
                text += piece
            case ImageBytes(data):
                image += data
            case Undecodable(raw):
                text += base64.b64encode(image) + raw
                image = b""
            case ImageMark.BEGIN:
                text += b'"b64_json":"'
            case ImageMark.END:
                text += base64.b64encode(image) + b'"'
                image = b""
    return text


@given(
    st.lists(st.tuples(others, images, others), min_size=1, max_size=3),
    others,
    others,
    st.sampled_from([None, 2]),
    cuts,
)
def test_every_image_of_a_document_becomes_a_link(
    data: list[tuple[dict[str, Any], bytes, dict[str, Any]]],
    before: dict[str, Any],
    after: dict[str, Any],
    indent: int | None,
    places: list[int],
) -> None:
    items = [{**first, "b64_json": base64.b64encode(image).decode(), **last} for first, image, last in data]
    document = {**before, "created": 1, "data": items, "usage": {"total_tokens": 5}, **after}
    written = json.dumps(document, indent=indent).encode()
    text, found = with_links(read(DocumentImages(), cut(written, places)))
    expected = [{("url" if name == "b64_json" else name): value for name, value in item.items()} for item in items]
    for number, item in enumerate(expected):
        item["url"] = str(number)
    assert json.loads(text) == {**document, "data": expected}
    assert found == [image for _, image, _ in data]


@pytest.mark.parametrize(
    "item",
    [
        {"url": "https://images.example/1.png"},
        {"b64_json": ""},
        {"b64_json": None},
        {"revised_prompt": "b64_json"},
        {"nested": {"b64_json": TEXT}},
        {"b64_json": TEXT[:-1] + "-"},
        {"b64_json": "data:image/png;base64," + TEXT},
        {"b64_json": TEXT + "=AAA"},
        {"b64_json": TEXT[:-2]},
        {"b64_json": TEXT, "url": "https://images.example/1.png"},
    ],
)
def test_what_is_no_image_of_ours_stays_what_it_was(item: dict[str, Any]) -> None:
    document = json.dumps({"data": [item], "usage": None}).encode()
    for size in (1, 2, 7, 64, 1000, 10_000):
        parts = [document[start : start + size] for start in range(0, len(document), size)]
        assert json.loads(as_it_was(read(DocumentImages(), parts))) == json.loads(document)


def test_a_document_that_breaks_off_or_is_none() -> None:
    for text in (b"", b"not json", b'{"data":[{"b64_json":"' + TEXT[:50].encode(), b'{"data":[{"b64_json":"AAAA"}]} x'):
        assert as_it_was(read(DocumentImages(), [text])).startswith(text[:10])


# --- Streams


def event(kind: str, *, named: bool = True, late: bool = False, **fields: Any) -> bytes:
    about: dict[str, Any] = {"type": kind}
    data = json.dumps({**fields, **about} if late else {**about, **fields}).encode()
    return (f"event: {kind}\n".encode() if named else b"") + b"data: " + data + b"\n\n"


def linked(pieces: list[Piece]) -> tuple[bytes, list[bytes], int]:
    """A stream as its caller gets it, the images behind its links, and how many were dropped."""
    text, image, kept, dropped = b"", b"", list[bytes](), 0
    for piece in pieces:
        match piece:
            case bytes():
                text += piece
            case ImageBytes(data):
                image += data
            case ImageMark.BEGIN:
                image = b""
            case ImageMark.LINK:
                text += b',"url":"%d"' % len(kept)
                kept.append(image)
            case ImageMark.DROP | Undecodable():
                dropped += 1
    return text, kept, dropped


@given(
    image=images,
    partials=st.lists(images, max_size=2),
    line_end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    named=st.booleans(),
    late=st.booleans(),
    places=cuts,
)
def test_the_finished_image_of_a_stream_gets_a_link_beside_it(
    *, image: bytes, partials: list[bytes], line_end: bytes, named: bool, late: bool, places: list[int]
) -> None:
    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    named = named or late
    events = [
        *(event("image_generation.partial_image", named=named, late=late, b64_json=encoded(each)) for each in partials),
        event("image_generation.completed", named=named, late=late, b64_json=encoded(image), usage={"total_tokens": 3}),
    ]
    stream = (b": keep-alive\n" + b"".join(events)).replace(b"\n", line_end)
    text, kept, dropped = linked(read(EventImages(), cut(stream, places)))
    assert kept == [image]
    assert dropped == 0
    assert text.replace(b',"url":"0"', b"") == stream
    whole = json.loads(text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rpartition(b"data: ")[2])
    assert (whole["b64_json"], whole["url"]) == (encoded(image), "0")


def test_an_event_over_several_data_lines() -> None:
    stream = (
        b'event: image_generation.completed\ndata: {"b64_json":\ndata: "'
        + TEXT.encode()
        + b'",\ndata: "n":1 \ndata: } \n\n'
    )
    for size in (1, 3, 50, 5000):
        parts = [stream[start : start + size] for start in range(0, len(stream), size)]
        text, kept, _ = linked(read(EventImages(), parts))
        assert kept == [IMAGE]
        assert text == stream.replace(b"} \n\n", b',"url":"0"} \n\n')


@pytest.mark.parametrize(
    "stream",
    [
        event("image_generation.completed", b64_json=TEXT)[:-10],
        event("image_generation.completed", b64_json=TEXT)[:200],
        event("image_generation.failed", b64_json=TEXT),
        event("image_generation.completed", url="https://images.example/1.png"),
        b"data: {\n\n" + event("error", message="no"),
        b"x" * 1000 + b"\n" + event("image_generation.partial_image", b64_json=TEXT),
        b"event: " + b"x" * 1000 + b"\n" + b"data: [DONE]\n\n",
    ],
)
def test_a_stream_without_a_finished_image_of_ours_passes_as_it_is(stream: bytes) -> None:
    for size in (1, 7, 10_000):
        text, kept, _ = linked(
            read(EventImages(), [stream[start : start + size] for start in range(0, len(stream), size)])
        )
        assert text.replace(b',"url":"0"', b"") == stream
        assert kept == [] or b"https://" in stream


def test_images_are_not_kept_in_memory() -> None:
    """The same few KiB for 1 MB and for 30 MB."""
    import tracemalloc

    part = base64.b64encode(bytes(49_152))
    for reader, head in ((DocumentImages(), b'{"data":[{"b64_json":"'), (EventImages(), b'data: {"b64_json":"')):
        reader.feed(head)
        tracemalloc.start()
        for _ in range(450):
            reader.feed(part)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 600_000
