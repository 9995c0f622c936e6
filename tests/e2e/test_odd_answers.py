"""Answers that are not quite right: what the caller is told, what is charged, what is counted."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
import pytest

from tests.e2e.conftest import StartGateway
from tests.raw_upstream import RawRequest, RawUpstream, chunk, chunked_head, document
from tests.servers import RunningGateway

IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC"
USAGE = {"total_tokens": 207, "input_tokens": 11, "output_tokens": 196}
REPORTED = 11 * 5_000 + 196 * 30_000
LOOK = {"size": "1024x1024", "quality": "low", "background": "opaque", "output_format": "png"}
GOOD: dict[str, Any] = {"created": 17, **LOOK, "data": [{"b64_json": IMAGE}], "usage": USAGE}
REFUSED = {
    "message": "Your request was rejected by the safety system. If this is an error, contact support and include the "
    "request ID req_0a1b2c3d4e5f. safety_violations=[violence]",
    "type": "image_generation_user_error",
    "code": "moderation_blocked",
    "param": None,
}
BODY = {"model": "gpt-image-2", "prompt": "a house"}


def event(kind: str, **more: object) -> str:
    name = f"image_generation.{kind}"
    return f"event: {name}\ndata: {json.dumps({'type': name, 'b64_json': IMAGE, **more})}\n\n"


PARTIAL = event("partial_image", partial_image_index=0)
COMPLETED = event("completed", usage=USAGE, created_at=17, **LOOK)


@dataclass(frozen=True)
class Case:
    """`charged` in nano-USD; None is the whole hold. `said` stands in what the caller is told."""

    name: str
    answer: object
    status: int = 200
    code: str | None = None
    said: str = ""
    outcome: str = "completed"
    charged: int | None = REPORTED
    kind: str | None = None
    stream: bool = False
    sent_status: int = 200


FAILED: dict[str, Any] = {"status": 502, "outcome": "upstream_failed"}
BLOCKED_USAGE = {"created": 1, "data": [{"b64_json": None, "url": "", "respect_moderation": False}], "usage": USAGE}
CASES = [
    Case("error200", {"error": REFUSED}, 400, "moderation_blocked", "the request ID [removed]. safety_violations",
         "upstream_failed", None, "document_failure"),
    Case("error200 asked as a stream", {"error": REFUSED}, 400, "moderation_blocked", "rejected by the safety system",
         "upstream_failed", None, "document_failure", stream=True),
    Case("error200 with usage", {"error": REFUSED, "usage": USAGE}, 400, "moderation_blocked", "rejected",
         "upstream_failed", REPORTED, "document_failure"),
    Case("worker", {"created": 1, "data": [], "error": "worker failed: out of memory"}, code="upstream_failed",
         said="worker failed: out of memory", charged=None, kind="document_failure", **FAILED),
    Case("errors", {"data": None, "errors": [{"message": "no GPU"}]}, code="upstream_failed", said="no GPU",
         charged=None, kind="document_failure", **FAILED),
    Case("zero-error", {**GOOD, "error": {"message": "", "type": "", "param": "", "code": None}}),
    Case("empty", {"created": 1, "data": []}, code="no_image", said="without an image", charged=None, kind="no_image",
         **FAILED),
    Case("blocked", BLOCKED_USAGE, code="no_image", said="without an image", kind="no_image", **FAILED),
    Case("wrapped", {"code": 500, "message": "system busy", "data": None}, code="no_image", said="system busy",
         charged=None, kind="no_image", **FAILED),
    Case("no-image", COMPLETED.replace(json.dumps(IMAGE), "null"), 200, "no_image", "without an image",
         "upstream_failed", REPORTED, "no_image", stream=True),
    Case("late-error", PARTIAL + COMPLETED + 'event: error\ndata: {"type":"error","error":{"message":"late"}}\n\n', 200,
         "upstream_failed", "late", "upstream_failed", REPORTED, "stream_failure", stream=True),
    Case("stream", PARTIAL + COMPLETED),
    Case("stream, twice", PARTIAL + COMPLETED * 2, charged=2 * REPORTED),
    Case("stream that fails", PARTIAL + 'event: error\ndata: {"error":{"message":"it broke"}}\n\n',
         code="upstream_failed", said="it broke", charged=None, kind="stream_failure", **FAILED),
    Case("stream that ends early", PARTIAL, code="upstream_broken", charged=None, kind="incomplete", **FAILED),
    Case("good, asked as a stream", GOOD, stream=True),
    Case("float", {**GOOD, "usage": {"total_tokens": 207.0, "input_tokens": 11.0, "output_tokens": 196.0}}),
    Case("fraction", {**GOOD, "usage": {"total_tokens": 206.9, "input_tokens": 11, "output_tokens": 195.92}}),
    Case("text", {**GOOD, "usage": {"input_tokens": "11", "output_tokens": "196"}}),
    Case("absurd", {**GOOD, "usage": {"input_tokens": 2**63, "output_tokens": 10**9}}, charged=-1),
    Case("absurd stream", event("completed", usage={"input_tokens": 0, "output_tokens": 2**40}, **LOOK), charged=-1,
         stream=True),
    Case("no usage", {**GOOD, "usage": None}, charged=-1),
    Case("challenge", "<!DOCTYPE html><title>Just a moment...</title>", 502, "upstream_blocked", "on the way",
         "upstream_refused", 0, "blocked_on_the_way", sent_status=403),
    Case("detail", {"detail": "prompt: contains characters the model cannot draw"}, 400, None, "cannot draw",
         "upstream_refused", 0, "invalid", sent_status=400),
    Case("detail422", {"detail": [{"loc": ["body", "size"], "msg": "size is not offered", "type": "value_error"}]}, 400,
         "value_error", "size is not offered", "upstream_refused", 0, "invalid", sent_status=422),
]  # fmt: skip
# What the answer's own size and quality come to; a stream may have held three partial images.
LOW_ESTIMATE = 5_000 * (16 + 7) + 196 * 30_000
PARTIALS = 300 * 30_000


def sends(answer: object, status: int = 200) -> Callable[[RawRequest, asyncio.StreamWriter], Any]:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    kind = (
        "application/json" if not isinstance(answer, str) else "text/event-stream" if "data:" in text else "text/html"
    )

    async def send(_: RawRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(document(text.encode(), content_type=kind).replace(b"200 OK", b"%d X" % status, 1))

    return send


def ask(gateway: RunningGateway, **fields: object) -> httpx2.Response:
    headers = {"authorization": f"Bearer {gateway.store.key().text}"}
    return httpx2.post(f"{gateway.url}/images/generations", json={**BODY, **fields}, headers=headers, timeout=30)


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_odd_answer(start_gateway: StartGateway, case: Case) -> None:
    with RawUpstream(sends(case.answer, case.sent_status)) as upstream:
        gateway = start_gateway(upstream.url)
        answer = ask(gateway, stream=case.stream)
        [row] = gateway.store.settled(1)
        assert answer.status_code == case.status
        told = events_of(answer.text) if case.stream and case.status == 200 else [answer.json()]
        error = told[-1].get("error")
        if case.outcome == "completed":
            assert not error or not error["message"]
            images = told if case.stream else told[0]["data"]
            assert [image["b64_json"] for image in images][-1] == IMAGE
        else:
            assert error is not None
            assert {"message", "type", "param", "code"} <= error.keys()
            assert error["code"] == case.code
            assert case.said in error["message"]
            assert answer.headers.get("x-should-retry") == (
                "false" if case.status > 400 or (case.status == 400 and row["charged_nanousd"]) else None
            )
        assert row["outcome"] == case.outcome
        charged = {None: row["held_nanousd"], -1: LOW_ESTIMATE + PARTIALS * case.stream}.get(case.charged, case.charged)
        assert row["charged_nanousd"] == charged
        assert row["usage_source"] == (
            "none" if charged == 0 else "reported" if charged in (REPORTED, 2 * REPORTED) else "estimated"
        )
        assert gateway.metric("zenmux_gateway_usage_implausible_total") == float("absurd" in case.name)
        assert gateway.metric("zenmux_gateway_upstream_errors_total") == float(case.kind is not None)
        if case.kind is not None:
            assert gateway.metric("zenmux_gateway_upstream_errors_total", kind=case.kind) == 1
        assert gateway.store.findings() == []


def test_a_document_becomes_the_stream_that_was_asked_for(start_gateway: StartGateway) -> None:
    with RawUpstream(sends({**GOOD, "data": [{"b64_json": IMAGE * 20_000}]})) as upstream:
        gateway = start_gateway(upstream.url)
        with openai.OpenAI(base_url=gateway.url, api_key=gateway.store.key().text, max_retries=0) as client:
            [only] = list(client.images.generate(**BODY, stream=True))  # type: ignore[call-overload]
            assert only.type == "image_generation.completed"
            assert only.b64_json == IMAGE * 20_000
            assert (only.size, only.quality, only.created_at) == ("1024x1024", "low", 17)
            assert only.usage.total_tokens == 207


def test_a_stream_becomes_the_document_that_was_asked_for(start_gateway: StartGateway) -> None:
    big = COMPLETED.replace(IMAGE, IMAGE * 20_000)
    with RawUpstream(sends("id: 1\n" + PARTIAL + ": ZENMUX PROCESSING\n\n" + big)) as upstream:
        gateway = start_gateway(upstream.url)
        with openai.OpenAI(base_url=gateway.url, api_key=gateway.store.key().text, max_retries=0) as client:
            answer = client.images.generate(**BODY)  # type: ignore[call-overload]
            assert [image.b64_json for image in answer.data] == [IMAGE * 20_000]
            assert (answer.size, answer.quality, answer.created) == ("1024x1024", "low", 17)
            assert answer.usage.output_tokens == 196


@pytest.mark.parametrize("kind", ["document", "stream"])
def test_a_failure_reported_behind_a_large_image_costs_no_caller_the_image(
    start_gateway: StartGateway, kind: str
) -> None:
    """The document has begun, so its status cannot tell. Broken off, it would be requested and bought again."""
    image = IMAGE * 20_000
    failure = {"message": "late", "type": "server_error", "code": None, "param": None}
    answer: object = {**GOOD, "data": [{"b64_json": image}], "error": failure}
    if kind == "stream":
        answer = COMPLETED.replace(IMAGE, image) + f"event: error\ndata: {json.dumps({'error': failure})}\n\n"
    with RawUpstream(sends(answer)) as upstream:
        gateway = start_gateway(upstream.url)
        with openai.OpenAI(base_url=gateway.url, api_key=gateway.store.key().text, max_retries=2) as client:
            made = client.images.generate(**BODY)  # type: ignore[call-overload]
        assert [each.b64_json for each in made.data] == [image]
        [row] = gateway.store.settled(1)
        assert (row["outcome"], row["charged_nanousd"]) == ("upstream_failed", REPORTED)


@pytest.mark.parametrize("nothing", [{}, {"message": "", "type": "", "code": None}, [None], " "], ids=repr)
@pytest.mark.parametrize("size", [1, 20_000])
def test_an_error_that_tells_nothing_costs_no_caller_its_image(
    start_gateway: StartGateway, nothing: object, size: int
) -> None:
    """openai-python raises for each of them in an event; no SDK looks for one in a document."""
    image = IMAGE * size
    made = event("completed", usage=USAGE, error=nothing, **LOOK).replace(IMAGE, image)
    for answer, stream in ((made, True), ({**GOOD, "data": [{"b64_json": image}], "error": nothing}, False)):
        with RawUpstream(sends(answer)) as upstream:
            gateway = start_gateway(upstream.url)
            with openai.OpenAI(base_url=gateway.url, api_key=gateway.store.key().text, max_retries=0) as client:
                made_by_sdk: Any = client.images.generate(**BODY, stream=stream)  # type: ignore[call-overload]
                [only] = list(made_by_sdk) if stream else made_by_sdk.data
            assert only.b64_json == image
    assert {(row["outcome"], row["charged_nanousd"]) for row in gateway.store.settled(2)} == {("completed", REPORTED)}


def test_no_event_without_data_reaches_a_client_that_has_read_an_id(start_gateway: StartGateway) -> None:
    """openai-python takes each blank line behind an `id:` for an event, and stumbles over its missing data."""

    async def send(_: RawRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked_head())
        for piece in (
            "retry: 10\n\n",
            "id: 1\n" + PARTIAL,
            ": ZENMUX PROCESSING\n\n",
            "\n",
            "id: 2\n\n",
            "event: x\n\n",
        ):
            writer.write(chunk(piece.encode()))
            await writer.drain()
            await asyncio.sleep(0.15)  # the gateway's own keep-alive comments come between
        writer.write(chunk(b"id: 3\n" + COMPLETED.encode()) + chunk(b""))

    with RawUpstream(send) as upstream:
        gateway = start_gateway(upstream.url, keepalive_seconds=0.05)
        with openai.OpenAI(base_url=gateway.url, api_key=gateway.store.key().text, max_retries=0) as client:
            kinds = [event.type for event in client.images.generate(**BODY, stream=True)]  # type: ignore[call-overload]
            assert kinds == ["image_generation.partial_image", "image_generation.completed"]
            raw = ask(gateway, stream=True).text
            assert ": keep-alive\n" in raw
            seen_id = False
            for block in raw.split("\n\n")[:-1]:
                seen_id = seen_id or "id:" in block
                assert "data: " in block or not seen_id
