"""What the tests of the transport share: a transport, requests for it, and both event loops it runs on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from app.upstream.http1.pool import PoolBounds
from app.upstream.http1.transport import FIRST_BYTE, Transport
from app.upstream.response import UpstreamResponse
from app.upstream.sending import OnSending
from tests.upstream.raw_server import Connection, answered


@pytest.fixture(name="anyio_backend", scope="module", params=[True, False], ids=["uvloop", "asyncio"])
def both_loops(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """uvicorn runs the gateway on uvloop where there is one."""
    if request.param:
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(name="carrier", params=["http1", "httpx"])
def each_transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both of HTTPX's transports, in one place and under the same rules; what differs is said where it does."""
    monkeypatch.setenv("GATEWAY_UPSTREAM_TRANSPORT", request.param)
    return str(request.param)


NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.LocalProtocolError)


@asynccontextmanager
async def transport(
    *, connect_seconds: float = 5, silence_seconds: float = 5, connections_max: int = 10, buffer: int | None = None
) -> AsyncIterator[Transport]:
    async with Transport(PoolBounds(connect_seconds, silence_seconds, connections_max, buffer)) as opened:
        yield opened


class Sendings:
    """Counts how often sending was announced."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1


def post(url: str, on_sending: OnSending | None = None, content: bytes = b"{}") -> httpx2.Request:
    return httpx2.Request("POST", f"{url}/images", content=content, extensions=traced(on_sending))


def traced(on_sending: OnSending | None) -> dict[str, Any]:
    """Extensions of a request that announce its first byte."""
    if on_sending is None:
        return {}

    async def trace(event: str, info: dict[str, Any]) -> None:
        assert info["request"].method not in ("CONNECT", b"CONNECT")
        if event == FIRST_BYTE:
            await on_sending()

    return {"trace": trace}


async def body_of(response: httpx2.Response) -> bytes:
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    return b"".join([chunk async for chunk in response.stream])


async def read_whole(response: UpstreamResponse) -> bytes:
    body = bytearray()
    while (chunk := await response.read()) is not None:
        body += chunk.view
    return bytes(body)


async def ask(opened: httpx2.AsyncBaseTransport, request: httpx2.Request) -> bytes:
    """The whole exchange, ended whatever happens."""
    response = await opened.handle_async_request(request)
    try:
        return await body_of(response)
    finally:
        await response.aclose()


async def give_up(opened: Transport, request: httpx2.Request, steps: int) -> None:
    """Ask, and stop asking after so many turns of the loop."""
    asking = asyncio.ensure_future(ask(opened, request))
    for _ in range(steps):
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def answer_ok(connection: Connection) -> None:
    await connection.send(answered(b"ok"))


async def drop(connection: Connection) -> None:
    connection.writer.transport.abort()
    raise EOFError
