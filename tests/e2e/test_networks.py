"""A whole gateway whose way to ZenMux is another: stock HTTPX, a proxy that refuses, nothing there."""

from asyncio import StreamWriter
from typing import Any

import httpx2
import pytest

from app.sandbox.server import SandboxServer
from app.telemetry.logs import FieldsRecord
from tests.e2e.conftest import StartGateway
from tests.raw_upstream import RawRequest, RawUpstream, document
from tests.servers import RunningGateway, free_port

BODY = {"model": "gpt-image-2", "prompt": "a house", "size": "1024x1024", "quality": "low"}


def buy(gateway: RunningGateway, **more: object) -> httpx2.Response:
    headers = {"authorization": f"Bearer {gateway.store.key().text}"}
    return httpx2.post(f"{gateway.url}/images/generations", json={**BODY, **more}, headers=headers, timeout=30)


def request_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.fields for record in caplog.records if isinstance(record, FieldsRecord)]


@pytest.mark.parametrize("stream", [False, True])
def test_over_stock_httpx_the_ledger_equals_the_bill(
    start_gateway: StartGateway, sandbox: SandboxServer, stream: bool
) -> None:
    gateway = start_gateway(sandbox.url, upstream_transport="httpx")
    assert buy(gateway, stream=stream).status_code == 200
    assert [row["state"] for row in gateway.store.settled(1)] == ["settled"]
    bill = httpx2.get(sandbox.url.replace("/api/v1", "/sandbox/bill")).json()
    assert gateway.store.findings(bill) == []


@pytest.mark.parametrize("transport", ["http1", "httpx"])
def test_unreachable_is_named_and_costs_nothing(
    start_gateway: StartGateway, caplog: pytest.LogCaptureFixture, transport: str
) -> None:
    gateway = start_gateway(f"http://127.0.0.1:{free_port()}/api/v1", upstream_transport=transport, connect_retries=0)
    assert buy(gateway).status_code == 502
    assert [row["state"] for row in gateway.store.settled(1)] == ["released"]
    ready = httpx2.get(f"{gateway.root}/readyz")
    assert ready.status_code == 200
    assert ready.json()["upstream"].startswith("unreachable since 20")
    [line] = request_lines(caplog)
    assert (line["upstream_error"], line["upstream_reason"]) == ("unreachable", "the connection was refused")


@pytest.mark.parametrize("transport", ["http1", "httpx"])
def test_what_refused_a_request_on_the_way_is_in_the_log(
    start_gateway: StartGateway, caplog: pytest.LogCaptureFixture, transport: str
) -> None:
    page = document(b"<!DOCTYPE html><title>Just a moment...</title>", content_type="text/html")

    async def challenge(_: RawRequest, writer: StreamWriter) -> None:
        writer.write(page.replace(b"200 OK", b"403 Forbidden", 1))

    with RawUpstream(challenge) as upstream:
        answer = buy(start_gateway(upstream.url, upstream_transport=transport))
    assert answer.status_code == 502
    assert "Just a moment" not in answer.text
    [line] = request_lines(caplog)
    assert (line["upstream_error"], line["upstream_status"]) == ("blocked_on_the_way", 403)
    assert "Just a moment..." in line["upstream_reason"]


def test_a_proxy_that_is_not_there_costs_nothing(start_gateway: StartGateway) -> None:
    proxy = f"http://127.0.0.1:{free_port()}"
    gateway = start_gateway("https://zenmux.test/api/v1", upstream_proxy=proxy, connect_retries=0)
    assert buy(gateway).status_code == 502
    assert [row["state"] for row in gateway.store.settled(1)] == ["released"]
