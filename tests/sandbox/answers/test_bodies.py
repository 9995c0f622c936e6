"""Bodies of answers, byte by byte."""

import json
from typing import Any

import pytest

from app.images.cost.usage import Usage
from app.sandbox.answers.bodies import EVENT_STREAM, JSON, Answer, images_answer, odd_answer, refusal_answer
from app.sandbox.images.drawing import Drawn, draw_all
from app.sandbox.images.lettering import Lettering
from app.sandbox.requests.directives import ERROR_SHAPES, Directives, parse_directives
from app.sandbox.requests.refusals import zenmux
from tests.sandbox.support import asked, events_of, image_of

USAGE = Usage(input_text_tokens=18, input_image_tokens=3, output_image_tokens=196)
DRAWN = Drawn((b"one",), (b"p0", b"p1"))


def body(answer: Answer) -> bytes:
    data = b"".join(chunk for part in answer.parts for chunk in part.chunks())
    assert len(data) == answer.length
    return data


def document(prompt: str = "A fox", drawn: Drawn = DRAWN, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body(images_answer(asked(prompt, **fields), drawn, USAGE, 1_764_000_000)))
    return found


def events(prompt: str = "A fox", **fields: Any) -> list[tuple[str | None, dict[str, Any]]]:
    answer = images_answer(asked(prompt, stream=True, **fields), DRAWN, USAGE, 1_764_000_000)
    assert len(answer.parts) == len(events_of(body(answer)))  # a part is an event: gaps fall between them
    return events_of(body(answer))


def test_the_document_is_the_published_one() -> None:
    assert document(drawn=Drawn((b"one", b"two"), ()), n=2, quality="low") == {
        "created": 1_764_000_000,
        "background": "opaque",
        "output_format": "png",
        "quality": "low",
        "size": "1024x1024",
        "data": [{"b64_json": "b25l"}, {"b64_json": "dHdv"}],
        "usage": {
            "total_tokens": 217,
            "input_tokens": 21,
            "output_tokens": 196,
            "input_tokens_details": {"text_tokens": 18, "image_tokens": 3},
            "output_tokens_details": {"image_tokens": 196, "text_tokens": 0},
        },
    }


def test_usage_can_be_missing_whole_or_in_part() -> None:
    assert "usage" not in document("A fox [sandbox: no-usage]")
    assert set(document("A fox [sandbox: no-details]")["usage"]) == {"total_tokens", "input_tokens", "output_tokens"}
    assert "usage" not in events("A fox [sandbox: no-usage]")[-1][1]


def test_events_have_every_published_field() -> None:
    *partials, completed = events(partial_images=2)
    common = {"type", "b64_json", "created_at", "size", "quality", "background", "output_format"}
    for index, (name, data) in enumerate(partials):
        assert name == data["type"] == "image_generation.partial_image"
        assert set(data) == common | {"partial_image_index"}
        assert data["partial_image_index"] == index
    name, data = completed
    assert name == data["type"] == "image_generation.completed"
    assert set(data) == common | {"usage"}
    assert set(data["usage"]) == {"total_tokens", "input_tokens", "output_tokens", "input_tokens_details"}


def test_edits_have_events_of_their_own_name() -> None:
    names = [name for name, _ in events(operation="edit", inputs=[(64, 64)], partial_images=1)]
    assert names == ["image_edit.partial_image", "image_edit.partial_image", "image_edit.completed"]


def test_a_stream_can_end_without_its_completed_event() -> None:
    assert [name for name, _ in events("A fox [sandbox: no-completed]")] == ["image_generation.partial_image"] * 2


@pytest.mark.parametrize(
    ("shape", "name", "has"),
    [
        ("openai", "error", lambda data: data["type"] == "error" and data["error"]["message"]),
        ("flat", "error", lambda data: data["type"] == "error" and "error" not in data and data["message"]),
        ("data", None, lambda data: data["error"]["message"]),
        ("failed", "image_generation.failed", lambda data: data["type"] == "image_generation.failed"),
        ("partial-failed", "image_generation.partial_failed", lambda data: data["error"]["code"]),
        ("proxy", "proxy_error", lambda data: data["message"] and "error" not in data),
    ],
)
def test_failures_inside_a_stream_come_in_every_known_shape(shape: str, name: str | None, has: Any) -> None:
    found, data = events(f"A fox [sandbox: error-event shape={shape}]")[-1]
    assert found == name
    assert has(data)


def test_every_shape_is_tested() -> None:
    marks = test_failures_inside_a_stream_come_in_every_known_shape.pytestmark
    assert tuple(row[0] for row in marks[0].args[1]) == ERROR_SHAPES


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
def test_padded_answers_are_as_long_as_asked_and_hold_an_image(stream: bool, output_format: str) -> None:
    request = asked("A fox [sandbox: body=2MB]", stream=stream, output_format=output_format, quality="low")
    answer = images_answer(request, draw_all(request, Lettering()), USAGE, 0)
    assert abs(answer.length - 2_000_000) <= 12  # base64 comes in fours
    found = events_of(body(answer))[-1][1] if stream else json.loads(body(answer))["data"][0]
    assert image_of(found).format == output_format.upper()


def test_what_is_longer_than_asked_is_not_cut() -> None:
    assert document("A fox [sandbox: body=10B]") == document()


def test_media_types() -> None:
    assert images_answer(asked(), DRAWN, USAGE, 0).media_type == JSON
    assert images_answer(asked(stream=True), DRAWN, USAGE, 0).media_type == EVENT_STREAM


def test_refusals_are_answers() -> None:
    answer = refusal_answer(zenmux(429, "rate_limit", "Slow"))
    assert (answer.status, answer.media_type) == (429, JSON)
    assert json.loads(body(answer)) == {"error": {"code": "429", "type": "rate_limit", "message": "Slow"}}


def test_answers_that_are_none() -> None:
    garbage = odd_answer(parse_directives("[sandbox: garbage]")[0])
    page = odd_answer(parse_directives("[sandbox: html=503]")[0])
    empty = odd_answer(parse_directives("[sandbox: empty]")[0])
    assert garbage is not None
    assert page is not None
    assert empty is not None
    assert garbage.status == 200
    with pytest.raises(ValueError, match=r"utf-8|Unterminated"):
        json.loads(body(garbage))
    assert (page.status, page.media_type) == (503, "text/html")
    assert b"<html>" in body(page)
    assert (empty.status, empty.length) == (200, 0)
    assert odd_answer(Directives()) is None
