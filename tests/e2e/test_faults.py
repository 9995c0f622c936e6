"""Every fault the sandbox can play: what the client sees, what the ledger says, what the metrics say."""

import json
from dataclasses import dataclass

import httpx2
import pytest

from app.sandbox.requests.directives import DIRECTIVES, ERROR_SHAPES
from app.sandbox.server import SandboxServer
from tests.e2e.conftest import StartGateway
from tests.servers import fetch_json

BODY = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
CUT = 0  # the connection breaks


@dataclass(frozen=True)
class Fault:
    """`told`: the error code a client sees, on a stream in its error event; None where it sees a good answer."""

    directive: str
    status: int
    told: str | None
    state: str
    source: str
    outcome: str
    stream: bool = False
    retry: str | None = None
    kind: str | None = None


REFUSED = ("settled", "none", "upstream_refused")
ACCOUNT_REFUSED = ("released", "none", "upstream_refused")
FAILED = ("settled", "estimated", "upstream_failed")
GOOD = ("settled", "reported", "completed")
OURS = "upstream_account_fault"
FAULTS = [
    Fault("status=400", 400, None, *REFUSED, kind="invalid"),
    Fault("status=402", 503, OURS, *ACCOUNT_REFUSED, retry="false", kind="account_credit"),
    Fault("status=403 type=access_denied", 503, OURS, *ACCOUNT_REFUSED, retry="false", kind="account_key"),
    Fault("status=403 type=safety_check_failed", 400, "moderation_blocked", *REFUSED, kind="moderation"),
    Fault("status=404", 404, "model_not_found", *REFUSED, kind="model"),
    Fault("status=413", 400, "string_above_max_length", *REFUSED, kind="invalid"),
    Fault("status=422", 400, None, *REFUSED, kind="invalid"),
    Fault("status=429", 429, "rate_limit_exceeded", *REFUSED, kind="rate_limit"),
    Fault("status=429 retry-after=7", 429, "rate_limit_exceeded", *REFUSED, kind="rate_limit"),
    Fault("status=500", 502, "upstream_failed", *FAILED, retry="false", kind="provider_error"),
    Fault("status=502", 503, "no_provider_available", *REFUSED, kind="no_provider"),
    Fault("status=503", 502, "upstream_failed", *FAILED, retry="false", kind="provider_error"),
    Fault("status=520", 502, "upstream_failed", *FAILED, retry="false", kind="provider_error"),
    Fault("status=524", 504, "upstream_timeout", *FAILED, retry="false", kind="provider_timeout"),
    Fault("moderation", 400, "moderation_blocked", *REFUSED, kind="moderation"),
    Fault("moderation=azure", 400, "moderation_blocked", *REFUSED, kind="moderation"),
    Fault("delay=10ms", 200, None, *GOOD),
    Fault("gap=1ms", 200, None, *GOOD, stream=True),
    Fault("slow=20MB/s", 200, None, *GOOD),
    Fault("cut=0.5", CUT, None, *FAILED, kind="connection_broken"),
    Fault("cut=0.5", 200, "upstream_broken", *FAILED, stream=True, kind="connection_broken"),
    Fault("cut=0.5 chunked", CUT, None, *FAILED, kind="connection_broken"),
    Fault("stall", CUT, None, *FAILED, kind="silence"),
    Fault("stall", 200, "upstream_timeout", *FAILED, stream=True, kind="silence"),
    Fault("reset", 502, "upstream_broken", *FAILED, retry="false", kind="connection_broken"),
    Fault("no-usage", 200, None, "settled", "estimated", "completed"),
    Fault("no-usage", 200, None, "settled", "estimated", "completed", stream=True),
    Fault("no-details", 200, None, *GOOD),
    Fault("usage=10x", 200, None, *GOOD),
    Fault("no-completed", 200, "upstream_broken", *FAILED, stream=True, kind="incomplete"),
    Fault("error-event", 200, "any", *FAILED, stream=True, kind="stream_failure"),
    Fault("body=3MB", 200, None, *GOOD),
    Fault("body=3MB", 200, None, *GOOD, stream=True),
    Fault("garbage", 502, "upstream_broken", *FAILED, retry="false", kind="not_an_answer"),
    Fault("html", 502, "upstream_failed", *FAILED, retry="false", kind="provider_error"),
    Fault("html=500", 502, "upstream_failed", *FAILED, retry="false", kind="provider_error"),
    Fault("html=403", 502, "upstream_blocked", *REFUSED, retry="false", kind="blocked_on_the_way"),
    Fault("empty", 502, "upstream_broken", *FAILED, retry="false", kind="incomplete"),
    Fault("headers", 200, None, *GOOD),
    Fault("chunked", 200, None, *GOOD),
    Fault("gzip", 200, None, *GOOD),
    Fault("gzip", 502, "upstream_broken", *FAILED, stream=True, retry="false", kind="connection_broken"),
]


def error_of(answer: httpx2.Response, *, stream: bool) -> dict[str, object] | None:
    if not stream or answer.status_code >= 400:
        told = answer.json().get("error")
        return dict(told) if told else None
    for event in answer.text.split("\n\n"):
        for line in event.split("\n"):
            if line.startswith("data: {"):
                told = json.loads(line.removeprefix("data: ")).get("error")
                if told:
                    return dict(told)
    return None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.directive}{' stream' * fault.stream}")
def test_a_fault(start_gateway: StartGateway, sandbox: SandboxServer, fault: Fault) -> None:
    gateway = start_gateway(sandbox.url, upstream_silence_seconds=2 if "stall" in fault.directive else 30)
    body = {**BODY, "prompt": f"a house [sandbox: {fault.directive}]", "stream": fault.stream}
    headers = {"authorization": f"Bearer {gateway.store.key().text}"}

    def ask() -> httpx2.Response:
        return httpx2.post(f"{gateway.url}/images/generations", json=body, headers=headers, timeout=30)

    if fault.status == CUT:
        with pytest.raises(httpx2.TransportError):
            ask()
    else:
        answer = ask()
        assert answer.status_code == fault.status
        told = error_of(answer, stream=fault.stream)
        if fault.told is not None or fault.status >= 400:
            assert told is not None
            assert {"message", "type", "param", "code"} <= told.keys()
            assert fault.told in (None, "any", told["code"])
            assert "request_id" not in str(told)
        else:
            assert told is None
        assert answer.headers.get("x-should-retry") == fault.retry
    [row] = gateway.store.settled(1)
    assert (row["state"], row["usage_source"], row["outcome"]) == (fault.state, fault.source, fault.outcome)
    bill = fetch_json(sandbox.bill_url)
    assert gateway.store.findings(bill) == []
    if fault.source == "reported":
        assert row["charged_nanousd"] == sum(entry["cost_nanousd"] for entry in bill["generations"])
    if fault.source == "none":
        assert bill["generations"] == []
        charged = [row[f"charged_{unit}"] for unit in ("requests", "images", "tokens", "nanousd")]
        assert charged == [int(fault.state == "settled"), 0, 0, 0]
    assert gateway.metric("zenmux_gateway_requests_total", outcome=fault.outcome) == 1
    estimated = fault.source == "estimated"
    assert gateway.metric("zenmux_gateway_usage_missing_total") == float(estimated)
    if fault.kind is not None:
        assert gateway.metric("zenmux_gateway_upstream_errors_total", kind=fault.kind) == 1


@pytest.mark.parametrize("shape", ERROR_SHAPES)
def test_every_shape_of_a_failure_in_a_stream_becomes_the_one_all_sdks_raise_on(
    start_gateway: StartGateway, sandbox: SandboxServer, shape: str
) -> None:
    gateway = start_gateway(sandbox.url)
    answer = httpx2.post(
        f"{gateway.url}/images/generations",
        json={**BODY, "prompt": f"a house [sandbox: error-event shape={shape}]", "stream": True, "partial_images": 1},
        headers={"authorization": f"Bearer {gateway.store.key().text}"},
        timeout=30,
    )
    *_, last, end = answer.text.split("\n\n")
    assert end == ""
    assert last.startswith("event: error\ndata: ")
    told = json.loads(last.partition("data: ")[2])
    assert told["type"] == "error"
    assert {"message", "type", "param", "code"} <= told["error"].keys()


def test_every_directive_of_the_sandbox_is_played_here() -> None:
    played = " ".join(fault.directive for fault in FAULTS) + " shape= type= retry-after="
    assert [directive.name for directive in DIRECTIVES if directive.name not in played] == []
