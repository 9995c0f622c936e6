"""Asking ZenMux: one request, its answer as it comes, or what its failure means. Against a server of raw bytes, over
each transport."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from app.errors import (
    StoreUnavailable,
    UpstreamAccountFault,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from app.main import utc_now
from app.settings.settings import Settings
from app.upstream import zenmux as client_module
from app.upstream.response import UpstreamResponse
from app.upstream.zenmux import Upstream
from tests.upstream.asking import each_transport, read_whole
from tests.upstream.raw_server import Connection, answered, serve

KEY = "sk-ai-v1-test"
PATH, JSON = "/images/generations", "application/json"

carrier = each_transport
pytestmark = pytest.mark.usefixtures("carrier")


@asynccontextmanager
async def upstream_at(url: str, jitter: Callable[[], float] = lambda: 0.0, **settings: Any) -> AsyncIterator[Upstream]:
    upstream = Upstream(Settings(zenmux_api_key=KEY, zenmux_base_url=f"{url}/api/v1", **settings), utc_now, jitter)
    await upstream.open()
    try:
        yield upstream
    finally:
        await upstream.aclose()


class Sendings:
    """Counts how often sending was announced."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1


async def ask(upstream: Upstream, on_sending: Sendings | None = None) -> tuple[UpstreamResponse, bytes]:
    """The whole exchange: the response, and its body."""
    sendings = on_sending or Sendings()
    async with aclosing(
        await upstream.ask(
            await upstream.routes.choose("any"), "/images/generations", b'{"a":1}', "application/json", sendings
        )
    ) as response:
        return response, await read_whole(response)


async def failure(url: str, **settings: Any) -> UpstreamError:
    """What asking fails with; sending is announced exactly once."""
    sendings = Sendings()
    async with upstream_at(url, **settings) as upstream:
        with pytest.raises(UpstreamError) as raised:
            await ask(upstream, sendings)
    assert sendings.count == (0 if isinstance(raised.value, UpstreamUnreachable) else 1)
    return raised.value


def answer(data: bytes) -> Callable[[Connection], Any]:
    """Sends `data`, then closes."""

    async def send(connection: Connection) -> None:
        await connection.send(data)
        raise EOFError

    return send


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class TestAnswers:
    async def test_an_answer(self) -> None:
        headers = ("Content-Type: Application/JSON; charset=utf-8", "X-ZenMux-RequestId: zm-1", "Set-Cookie: a=b")
        async with serve(answer(answered(b'{"data":[]}', *headers))) as server, upstream_at(server.url) as upstream:
            response, body = await ask(upstream)
        assert body == b'{"data":[]}'
        assert (response.status, response.content_type, response.content_length) == (200, "application/json", 11)
        assert response.request_id == "zm-1"
        assert response.headers == [(b"content-type", b"Application/JSON; charset=utf-8")]

    async def test_what_is_asked(self) -> None:
        async with serve(answer(answered(b""))) as server, upstream_at(server.url) as upstream:
            await ask(upstream)
        head, _, body = server.requests[0].decode().partition("\r\n\r\n")
        line, *fields = head.split("\r\n")
        assert (line, body) == ("POST /api/v1/images/generations HTTP/1.1", '{"a":1}')
        names = [field.split(":")[0].lower() for field in fields]
        assert sorted(names) == [
            *("accept", "accept-encoding", "authorization", "content-length", "content-type", "host", "user-agent")
        ]
        assert f"authorization: Bearer {KEY}" in fields

    async def test_a_stream_has_no_length(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        async with serve(answer(head + b"1\r\na\r\n0\r\n\r\n")) as server, upstream_at(server.url) as upstream:
            response, body = await ask(upstream)
        assert (response.content_type, response.content_length, body) == ("text/event-stream", None, b"a")

    async def test_leaving_early_closes_the_connection(self) -> None:
        gone = asyncio.Event()

        async def send(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1")
            await connection.until_client_closes()
            gone.set()

        async with serve(send) as server, upstream_at(server.url) as upstream:
            async with aclosing(
                await upstream.ask(await upstream.routes.choose("any"), "/x", b"{}", "application/json", Sendings())
            ) as response:
                assert response.status == 200
            await gone.wait()

    async def test_many_at_a_time(self) -> None:
        everybody = asyncio.Barrier(20)

        async def send(connection: Connection) -> None:
            await everybody.wait()
            await connection.send(answered(b"ok"))

        async with serve(send) as server, upstream_at(server.url) as upstream:
            answers = await asyncio.gather(*(ask(upstream) for _ in range(20)))
        assert [body for _, body in answers] == [b"ok"] * 20

    async def test_closing_twice_and_never_opened(self) -> None:
        upstream = Upstream(Settings(zenmux_api_key=KEY), utc_now)
        await upstream.aclose()
        await upstream.open()
        await upstream.aclose()
        await upstream.aclose()


class TestConnecting:
    async def test_is_tried_again_then_told(self) -> None:
        waits: list[float] = []

        def jitter() -> float:
            waits.append(0.0)
            return 0.0

        error = await failure(f"http://127.0.0.1:{free_port()}", jitter=jitter, connect_retries=3)
        assert isinstance(error, UpstreamUnreachable)
        assert (error.kind, error.billed, len(waits)) == ("unreachable", False, 3)

    async def test_is_tried_once_without_retries(self) -> None:
        def jitter() -> float:
            raise AssertionError("nothing to wait for")

        error = await failure(f"http://127.0.0.1:{free_port()}", jitter=jitter, connect_retries=0)
        assert isinstance(error, UpstreamUnreachable)

    async def test_waits_longer_each_time_up_to_a_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        waits: list[float] = []
        real, here = asyncio.sleep, threading.get_ident()

        async def sleep(seconds: float) -> None:
            if threading.get_ident() != here:  # a server of another test that is still stopping
                await real(seconds)
            else:
                waits.append(seconds)

        monkeypatch.setattr(asyncio, "sleep", sleep)
        await failure(f"http://127.0.0.1:{free_port()}", jitter=lambda: 0.5, connect_retries=6)
        assert waits == [0.125, 0.25, 0.5, 1.0, 2.0, 2.0]

    async def test_succeeds_when_a_later_try_does(self) -> None:
        port, sendings = free_port(), Sendings()
        starting: list[asyncio.Task[asyncio.Server]] = []

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await Connection(reader, writer).read_request()
            await Connection(reader, writer).send(answered(b"ok"))
            writer.close()

        def start_the_server() -> float:
            if not starting:
                starting.append(asyncio.ensure_future(asyncio.start_server(handle, "127.0.0.1", port)))
            return 0.4

        async with upstream_at(f"http://127.0.0.1:{port}", jitter=start_the_server, connect_retries=5) as upstream:
            assert (await ask(upstream, sendings))[1] == b"ok"
        (await starting[0]).close()
        assert sendings.count == 1

    async def test_waits_for_a_free_connection_only_so_long(self) -> None:
        arrived = asyncio.Event()

        async def hold(connection: Connection) -> None:
            arrived.set()
            await connection.until_client_closes()
            raise EOFError

        settings: dict[str, Any] = {"upstream_connections_max": 1, "connect_timeout_seconds": 0.1, "connect_retries": 1}
        async with serve(hold) as server, upstream_at(server.url, **settings) as upstream:
            first = asyncio.ensure_future(ask(upstream))
            await arrived.wait()
            with pytest.raises(UpstreamUnreachable):
                await ask(upstream)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            assert len(server.requests) == 1

    async def test_what_on_sending_raises_is_raised_and_nothing_was_sent(self) -> None:
        async def refuse() -> None:
            raise StoreUnavailable("no")

        async with serve(answer(answered(b"ok"))) as server, upstream_at(server.url) as upstream:
            with pytest.raises(StoreUnavailable):
                await upstream.ask(await upstream.routes.choose("any"), PATH, b"{}", JSON, refuse)
            assert (server.requests, server.connections_made) == ([], 1)

    async def test_a_header_that_cannot_be_sent_costs_nothing(self) -> None:
        sendings = Sendings()
        async with serve(answer(answered(b"ok"))) as server, upstream_at(server.url) as upstream:
            with pytest.raises(UpstreamUnreachable):
                await upstream.ask(await upstream.routes.choose("any"), "/x", b"{}", "a\r\nb: c", sendings)
            assert (sendings.count, server.connections_made) == (0, 0)


class TestAfterSending:
    """Each of these happens once: `failure` checks that, and the server sees one request."""

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"HTTP/1.1 200 O",
            b"garbage\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ],
    )
    async def test_a_broken_answer(self, data: bytes) -> None:
        async with serve(answer(data)) as server:
            error = await failure(server.url)
            assert isinstance(error, UpstreamBroken)
            assert (error.kind, error.billed) == ("connection_broken", None)
            assert (len(server.requests), server.connections_made) == (1, 1)

    @pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"])
    async def test_silence(self, data: bytes) -> None:
        async def stall(connection: Connection) -> None:
            await connection.send(data)
            await connection.until_client_closes()

        async with serve(stall) as server:
            error = await failure(server.url, upstream_silence_seconds=0.2)
            assert isinstance(error, UpstreamTimeout)
            assert (error.kind, error.billed, len(server.requests)) == ("silence", None, 1)

    async def test_a_cut_body_keeps_the_request_id(self) -> None:
        data = b"HTTP/1.1 200 OK\r\nX-ZenMux-RequestId: zm-1\r\nContent-Length: 10\r\n\r\n12345"
        async with serve(answer(data)) as server:
            error = await failure(server.url)
        assert (error.request_id, error.answered_status) == ("zm-1", 200)


class TestErrorAnswers:
    async def test_are_translated(self) -> None:
        body = json.dumps({"error": {"code": "429", "type": "rate_limit", "message": "m"}}).encode()
        data = answered(body, "Retry-After: 7", "X-ZenMux-RequestId: zm-1", status="429 Too Many Requests")
        async with serve(answer(data)) as server:
            error = await failure(server.url)
        assert isinstance(error, UpstreamRefused)
        assert (error.status, error.retry_after_seconds, error.billed) == (429, 7, False)
        assert (error.request_id, error.answered_status) == ("zm-1", 429)

    async def test_our_own_account(self) -> None:
        async with serve(answer(answered(b"{}", status="402 Payment Required"))) as server:
            assert isinstance(await failure(server.url), UpstreamAccountFault)

    async def test_a_redirect_is_not_followed(self) -> None:
        async with serve(answer(answered(b"", "Location: /else", status="302 Found"))) as server:
            error = await failure(server.url)
            assert (error.kind, error.billed, len(server.requests)) == ("redirect", False, 1)

    @pytest.mark.parametrize(
        "data",
        [
            b"Content-Length: 1000\r\n\r\n{",
            b"Content-Length: 100000000\r\n\r\n" + b"x" * 300_000,
            b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
            b"Content-Length: 0\r\n\r\n",
        ],
    )
    async def test_say_enough_by_their_status_when_the_body_does_not_come(
        self, data: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client_module, "_ERROR_SECONDS_MAX", 0.2)
        closing = data.startswith(b"Transfer")

        async def send(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 402 Payment Required\r\n" + data)
            if not closing:
                await connection.until_client_closes()
            raise EOFError

        async with serve(send) as server:
            assert isinstance(await failure(server.url), UpstreamAccountFault)
