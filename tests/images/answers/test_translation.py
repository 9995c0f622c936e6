"""A document becomes a stream and a stream a document while their bytes pass, however these are cut."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from app.images.answers.translation import DocumentAsEvents, EventsAsDocument
from app.images.cost.usage import AnswerSummary, Usage

IMAGE = "QUJD" * 5_000 + "=\\/"
USAGE = {"total_tokens": 214, "input_tokens": 18, "output_tokens": 196}
LOOK = {"size": "1024x1024", "quality": "low", "background": "opaque", "output_format": "png"}
READ = Usage(input_text_tokens=18, output_image_tokens=196)


def image_document(*images: object, **more: object) -> bytes:
    return json.dumps({"created": 17, **LOOK, "data": list(images), "usage": USAGE, **more}).encode()


def event(kind: str, **more: object) -> bytes:
    name = f"image_generation.{kind}"
    return f"event: {name}\ndata: {json.dumps({'type': name, **more})}\n\n".encode()


COMPLETED = event("completed", b64_json=IMAGE, created_at=17, **LOOK, usage=USAGE)
PARTIAL = event("partial_image", b64_json="QQ==", partial_image_index=0)


def pass_through(reader: DocumentAsEvents | EventsAsDocument, text: bytes, step: int) -> tuple[bytes, AnswerSummary]:
    out = b""
    for at in range(0, len(text), step):
        piece, read_to = text[at : at + step], 0
        while read_to < len(piece):
            out += reader.feed(piece, len(piece), read_to)
            read_to = reader.read_to
    summary = reader.summary()
    return out + reader.flush(), summary


def events_of(text: bytes) -> list[tuple[str, dict[str, Any]]]:
    blocks = text.decode().split("\n\n")
    assert blocks.pop() == ""
    lines = [block.split("\n") for block in blocks]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in lines]


STEPS: Sequence[int] = (1, 7, 1000, 10**6)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("order", [1, -1])
def test_a_document_becomes_a_completed_event(step: int, order: int) -> None:
    members = list(json.loads(image_document({"b64_json": IMAGE})).items())[::order]
    text = json.dumps(dict(members)).encode()
    out, summary = pass_through(DocumentAsEvents("generation"), text, step)
    [(name, told)] = events_of(out)
    assert name == told["type"] == "image_generation.completed"
    assert (told["b64_json"], told["created_at"], told["size"]) == (IMAGE, 17, "1024x1024")
    assert told["usage"]["output_tokens_details"] == {"text_tokens": 0, "image_tokens": 196}
    assert (summary.delivers, summary.usage) == (True, READ)


@pytest.mark.parametrize("step", STEPS)
def test_of_several_images_each_is_an_event_and_the_last_has_the_usage(step: int) -> None:
    images = [
        {"b64_json": "QQ==", "url": "https://x"},
        {"url": "https://y", "b64_json": None},
        {},
        {"b64_json": "Qg=="},
    ]
    out, summary = pass_through(DocumentAsEvents("edit"), image_document(*images), step)
    told = events_of(out)
    assert [name for name, _ in told] == ["image_edit.completed"] * 3
    assert [event["b64_json"] for _, event in told] == ["QQ==", "https://y", "Qg=="]
    assert ["usage" in event for _, event in told] == [False, False, True]
    assert summary.image_count == 3


@pytest.mark.parametrize("step", STEPS)
def test_a_stream_becomes_a_document(step: int) -> None:
    stream = b": x\n\nid: 1\n" + PARTIAL + COMPLETED.replace(b"\n", b"\r\n")
    out, summary = pass_through(EventsAsDocument(), stream, step)
    told = json.loads(out)
    assert told["data"] == [{"b64_json": IMAGE}]
    assert (told["created"], told["quality"], told["usage"]["total_tokens"]) == (17, "low", 214)
    assert (summary.delivers, summary.usage) == (True, READ)


@pytest.mark.parametrize("step", STEPS)
def test_several_finished_images_are_one_document(step: int) -> None:
    out, _ = pass_through(EventsAsDocument(), COMPLETED + PARTIAL + COMPLETED.rstrip(), step)
    told = json.loads(out)
    assert [image["b64_json"] for image in told["data"]] == [IMAGE, IMAGE]
    assert told["usage"]["total_tokens"] == 428


@pytest.mark.parametrize("step", STEPS)
def test_an_image_whose_kind_comes_too_late_is_told_as_a_failure(step: int) -> None:
    stream = f'data: {{"b64_json":"{IMAGE[:40]}","type":"image_generation.completed"}}\n\n'.encode()
    _, summary = pass_through(EventsAsDocument(), stream, step)
    assert not summary.delivers
    assert summary.failure is not None


def test_what_would_break_out_of_an_event_is_no_image() -> None:
    reader = DocumentAsEvents("generation")
    out = reader.feed(b'{"data":[{"b64_json":"QUJD\n\ndata: {}\n\n"}]}', 42, 0)
    assert reader.malformed
    assert b"data: {}" not in out


def test_an_error_ends_an_event_that_has_begun() -> None:
    reader = DocumentAsEvents("generation")
    assert reader.closing(b'"error":1') == b""
    out = reader.feed(b'{"data":[{"b64_json":"QUJD', 26, 0)
    [(_, told)] = events_of(bytes(out) + reader.closing(b'"error":{"code":"cut"}'))
    assert told["error"] == {"code": "cut"}


def test_nothing_of_an_image_is_kept() -> None:
    reader, part = DocumentAsEvents("generation"), b"QUJD" * 10_000
    reader.feed(b'{"data":[{"b64_json":"', 22, 0)
    assert [len(reader.feed(part, len(part), 0)) for _ in range(50)][1:] == [len(part)] * 49
