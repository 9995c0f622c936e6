"""Each request has an id and is recorded once, also when it meets a bug of ours or is cancelled."""

import asyncio
import logging
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.telemetry.metrics import Metrics
from app.telemetry.recording import EVENT, Recording, Records
from app.telemetry.sampling import Sampler


async def call(app: ASGIApp) -> tuple[list[Any], Metrics]:
    metrics, sent = Metrics("1", 10), list[Any]()

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    fault, stopping = PlainTextResponse("fault", 500), PlainTextResponse("stopping", 503)
    recording = Recording(app, Records(metrics), lambda: "req_1", lambda: fault, lambda _: stopping, Sampler(10))
    await recording({"type": "http", "path": "/v1/images/generations"}, receive, send)
    return sent, metrics


async def test_an_answer_carries_its_request_id(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][EVENT].operation = "generation"
        await PlainTextResponse("well")(scope, receive, send)

    with caplog.at_level(logging.INFO, "gateway.request"):
        sent, metrics = await call(app)
    assert (b"x-request-id", b"req_1") in sent[0]["headers"]
    [line] = caplog.records
    told = line.__dict__["fields"]
    assert (told["request_id"], told["status"], told["sent_bytes"]) == ("req_1", 200, 4)
    assert b'zenmux_gateway_requests_total{model="other",operation="generation",outcome="fault"} 1.0' in (
        metrics.exposition()
    )


async def test_a_bug_is_answered_and_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    sent, _ = await call(app)
    assert sent[0]["status"] == 500
    fault, line = caplog.records
    assert fault.exc_info is not None
    assert line.levelno == logging.ERROR


@pytest.mark.parametrize(("is_reserved", "outcome"), [(True, "interrupted"), (False, "unavailable")])
async def test_a_request_that_the_server_cancels_is_told_of_the_stop(
    caplog: pytest.LogCaptureFixture, is_reserved: bool, outcome: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][EVENT].operation = "generation"
        scope["state"][EVENT].is_reserved = is_reserved
        raise asyncio.CancelledError

    sent, _ = await call(app)
    assert sent[0]["status"] == 503
    [line] = caplog.records
    assert line.exc_info is None
    assert (line.__dict__["fields"]["outcome"], line.__dict__["fields"]["error_code"]) == (
        outcome,
        "server_is_stopping",
    )


async def test_a_fault_in_recording_does_not_reach_the_client(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][EVENT].operation = "generation"
        scope["state"][EVENT].outcome = "not an outcome"
        await PlainTextResponse("well")(scope, receive, send)

    sent, _ = await call(app)
    assert sent[0]["status"] == 200
    assert "request_not_recorded" in caplog.text


async def test_what_comes_without_a_key_is_logged_up_to_a_rate_and_counted_in_full(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        event = scope["state"][EVENT]
        event.refusal = "invalid_api_key"
        event.key_id = "abc" if scope["path"] == "/with-a-key" else None
        await PlainTextResponse("no", 401)(scope, receive, send)

    monkeypatch.setattr("app.telemetry.recording._LEFT_OUT_SECONDS", 0)
    metrics, unused = Metrics("1", 10), PlainTextResponse("unused")
    recording = Recording(app, Records(metrics), lambda: "req_1", lambda: unused, lambda _: unused, Sampler(3))

    async def nothing(*_: Any) -> Any:
        return {"type": "http.request"}

    with caplog.at_level(logging.INFO, "gateway.request"):
        for path in ["/without"] * 10 + ["/with-a-key"] * 5:
            await recording({"type": "http", "path": path}, nothing, nothing)
        await asyncio.sleep(0.01)
    *lines, left_out = caplog.records
    assert [line.__dict__["fields"]["path"] for line in lines] == ["/without"] * 3 + ["/with-a-key"] * 5
    assert (left_out.msg, left_out.__dict__["count"]) == ("requests_not_logged", 7)
    assert b'zenmux_gateway_refusals_total{reason="invalid_api_key"} 15.0' in metrics.exposition()
