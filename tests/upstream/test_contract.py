"""What both transports owe the exchange, at the one place where they plug in: what was sent is known, memory is
bounded, and nothing outlives its request. Failures around the first byte are in test_client.py, proxies in
test_network.py."""

import asyncio
import gzip
import resource
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest

from app.errors import ClientLeft, UpstreamBroken, UpstreamRefused, UpstreamTimeout, UpstreamUnreachable
from app.upstream.response import UpstreamResponse
from app.upstream.sending import OnSending, Upload
from app.upstream.zenmux import Upstream
from tests.upstream.asking import both_loops, each_transport, read_whole
from tests.upstream.raw_server import Connection, answered, serve
from tests.upstream.test_zenmux import JSON, PATH, Sendings, ask, free_port, upstream_at

anyio_backend = both_loops
carrier = each_transport
pytestmark = pytest.mark.usefixtures("carrier")

CERTIFICATE = Path(__file__).parent / "localhost.pem"
MEGABYTE = bytes(1_000_000)


async def begin(
    upstream: Upstream, body: bytes | Upload = b"{}", on_sending: OnSending | None = None
) -> UpstreamResponse:
    route = await upstream.routes.choose("any")
    try:
        return await upstream.ask(route, PATH, body, JSON, on_sending or Sendings())
    except BaseException:
        await route.aclose()
        raise


async def send_upload(upstream: Upstream, upload: Upload) -> bytes:
    async with aclosing(await begin(upstream, upload)) as response:
        return await read_whole(response)


async def pieces(count: int, piece: bytes = MEGABYTE) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield piece
        await asyncio.sleep(0)


class Swallower:
    """A server that reads a body without keeping it, and answers with how long it was."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    async def __call__(self, connection: Connection) -> None:
        while True:
            head = await connection.reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.lower())
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
            length = int(fields[b"content-length"]) if b"content-length" in fields else None
            received = await self._sized(connection, length) if length is not None else await self._chunked(connection)
            await connection.send(answered(b"%d" % received))

    async def _sized(self, connection: Connection, length: int) -> int:
        received = 0
        while received < length:
            data = await connection.reader.read(min(65_536, length - received))
            if not data:
                raise EOFError
            received += len(data)
        return received

    async def _chunked(self, connection: Connection) -> int:
        received = 0
        while size := int(await connection.reader.readline(), 16):
            await connection.reader.readexactly(size)
            await connection.reader.readexactly(2)
            received += size
        await connection.reader.readexactly(2)
        return received


def grown_mb(since: int) -> float:
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - since) / 1024


class TestUploads:
    @pytest.mark.parametrize("length", [300_000_000, None], ids=["length", "chunks"])
    async def test_larger_than_what_may_be_held(self, length: int | None) -> None:
        swallower = Swallower()
        async with serve(swallower, reads=False) as server, upstream_at(server.url) as upstream:
            assert await send_upload(upstream, Upload(pieces(3), 3_000_000 if length else None)) == b"3000000"
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            assert await send_upload(upstream, Upload(pieces(300), length)) == b"300000000"
            assert grown_mb(before) < 30
            assert server.connections_made == 1
        framing = b"content-length: 300000000" if length else b"transfer-encoding: chunked"
        assert framing in swallower.heads[1]

    async def test_bytes_are_sent_with_their_length(self) -> None:
        swallower = Swallower()
        async with serve(swallower, reads=False) as server, upstream_at(server.url) as upstream:
            response = await begin(upstream, MEGABYTE)
            assert await read_whole(response) == b"1000000"
        assert b"\r\ncontent-length: 1000000\r\n" in swallower.heads[0]

    @pytest.mark.parametrize("announced", [2_000_001, 1_999_999])
    async def test_of_another_length_than_announced_break(self, announced: int) -> None:
        async with serve(Swallower(), reads=False) as server, upstream_at(server.url) as upstream:
            with pytest.raises(UpstreamBroken):
                await send_upload(upstream, Upload(pieces(2), announced))
            # Nothing of it is left to the next request.
            assert await send_upload(upstream, Upload(pieces(1), 1_000_000)) == b"1000000"

    async def test_whose_source_fails_raise_what_it_raised(self) -> None:
        class SpoolGone(Exception):
            pass

        async def broken() -> AsyncIterator[bytes]:
            yield MEGABYTE
            raise SpoolGone

        async with serve(Swallower(), reads=False) as server, upstream_at(server.url) as upstream:
            with pytest.raises(SpoolGone):
                await send_upload(upstream, Upload(broken(), 2_000_000))

    async def test_are_not_read_before_a_connection_is_there(self) -> None:
        asked = False

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal asked
            asked = True
            yield b"x"

        async with upstream_at(f"http://127.0.0.1:{free_port()}", connect_retries=1) as upstream:
            with pytest.raises(UpstreamUnreachable):
                await send_upload(upstream, Upload(chunks(), 1))
        assert not asked

    async def test_wait_for_a_server_that_reads_slowly(self) -> None:
        sent, stuck = 0, asyncio.Event()

        async def counted() -> AsyncIterator[bytes]:
            nonlocal sent
            for _ in range(60):
                yield MEGABYTE
                sent += 1

        async def read_late(connection: Connection) -> None:
            connection.writer.transport.pause_reading()  # type: ignore[attr-defined]  # every real transport has it
            await stuck.wait()
            connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
            await Swallower()(connection)

        async with serve(read_late, reads=False) as server, upstream_at(server.url) as upstream:
            asking = asyncio.ensure_future(send_upload(upstream, Upload(counted(), 60_000_000)))
            last = -1
            while last != sent or not sent:
                last = sent
                await asyncio.sleep(0.2)
            assert sent < 40  # what the kernel's buffers and StreamReader's hold
            stuck.set()
            assert await asking == b"60000000"

    async def test_to_a_server_that_stopped_reading_end_in_silence(self) -> None:
        async def never_read(connection: Connection) -> None:
            connection.writer.transport.pause_reading()  # type: ignore[attr-defined]  # every real transport has it
            await asyncio.Event().wait()

        async with (
            serve(never_read, reads=False) as server,
            upstream_at(server.url, upstream_silence_seconds=0.3) as upstream,
        ):
            with pytest.raises(UpstreamTimeout):
                await send_upload(upstream, Upload(pieces(100), 100_000_000))

    async def test_cancelling_closes_the_source_and_the_connection(self) -> None:
        closed, gone, begun = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 1000
                    begun.set()
                    await asyncio.sleep(0.001)
            finally:
                closed.set()

        async def read_all(connection: Connection) -> None:
            await connection.until_client_closes()
            gone.set()

        async with serve(read_all, reads=False) as server, upstream_at(server.url) as upstream:
            asking = asyncio.ensure_future(send_upload(upstream, Upload(endless())))
            await begun.wait()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await closed.wait()
            await gone.wait()


class TestEarlyAnswers:
    @pytest.mark.parametrize("streamed", [False, True])
    async def test_a_refusal_during_the_upload_is_the_answer(self, streamed: bool) -> None:
        async def refuse(connection: Connection) -> None:
            await connection.reader.readuntil(b"\r\n\r\n")
            await connection.send(answered(b"{}", "Connection: close", status="413 Content Too Large"))
            await connection.until_client_closes()

        body: Any = Upload(pieces(30), 30_000_000) if streamed else MEGABYTE * 30
        async with serve(refuse, reads=False) as server, upstream_at(server.url) as upstream:
            with pytest.raises(UpstreamRefused) as raised:
                await begin(upstream, body)
        assert (raised.value.billed, raised.value.answered_status) == (False, 413)

    async def test_an_answer_that_begins_during_the_upload(self) -> None:
        async def answer_early(connection: Connection) -> None:
            await connection.reader.readuntil(b"\r\n\r\n")
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
            await connection.reader.readexactly(5_000_000)
            await connection.send(b"k")

        async with serve(answer_early, reads=False) as server, upstream_at(server.url) as upstream:
            assert await send_upload(upstream, Upload(pieces(5), 5_000_000)) == b"ok"


class TestAnswers:
    async def test_a_slow_reader_stops_the_sender_and_is_no_silence(self) -> None:
        total, sent = 60_000_000, 0

        async def send(connection: Connection) -> None:
            nonlocal sent
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
            while sent < total:
                await connection.send(bytes(100_000))
                sent += 100_000

        async with serve(send) as server, upstream_at(server.url, upstream_silence_seconds=0.5) as upstream:
            response = await begin(upstream)
            last = -1
            while last != sent:
                last = sent
                await asyncio.sleep(0.6)
            assert sent < 30_000_000
            assert len(await read_whole(response)) == total

    @pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
    async def test_compression_nobody_asked_for_is_undone(self, encoding: str) -> None:
        async def send(connection: Connection) -> None:
            await connection.send(answered(gzip.compress(b"a" * 300_000), f"Content-Encoding: {encoding}"))

        async with serve(send) as server, upstream_at(server.url) as upstream:
            response, body = await ask(upstream)
        assert (body, response.content_length) == (b"a" * 300_000, None)

    @pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "gzip\r\nContent-Encoding: gzip", "unheard-of"])
    async def test_a_compression_that_is_not_known_breaks(self, encoding: str) -> None:
        text = answered(b"x" * 10, f"Content-Encoding: {encoding}", "X-ZenMux-RequestId: zm-1")
        async with serve(lambda connection: connection.send(text)) as server, upstream_at(server.url) as upstream:
            with pytest.raises(UpstreamBroken) as raised:
                await ask(upstream)
            assert (len(server.requests), raised.value.request_id) == (1, "zm-1")

    async def test_an_event_stream_must_not_be_compressed(self) -> None:
        packed = gzip.compress(b":\n\n" * 1_000_000)
        text = answered(packed, "Content-Encoding: gzip", "Content-Type: Text/Event-Stream; a=b")
        async with serve(lambda connection: connection.send(text)) as server, upstream_at(server.url) as upstream:
            with pytest.raises(UpstreamBroken):
                await ask(upstream)

    async def test_a_compressed_body_that_is_none_breaks(self) -> None:
        text = answered(b"12345", "Content-Encoding: gzip")
        async with serve(lambda connection: connection.send(text)) as server, upstream_at(server.url) as upstream:
            with pytest.raises(UpstreamBroken):
                await ask(upstream)

    async def test_cancelling_while_waiting_drops_the_connection(self) -> None:
        arrived, gone = asyncio.Event(), asyncio.Event()

        async def wait(connection: Connection) -> None:
            arrived.set()
            await connection.until_client_closes()
            gone.set()
            raise EOFError

        async with serve(wait) as server, upstream_at(server.url, upstream_connections_max=1) as upstream:
            for _ in range(2):  # and the pool of one has room again
                asking = asyncio.ensure_future(ask(upstream))
                await arrived.wait()
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                await gone.wait()
                arrived.clear()
                gone.clear()

    async def test_cancelling_while_reading_drops_the_connection(self) -> None:
        gone = asyncio.Event()

        async def begin_only(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1")
            await connection.until_client_closes()
            gone.set()

        async with serve(begin_only) as server, upstream_at(server.url) as upstream:
            async with aclosing(await begin(upstream)) as response:
                assert await response.read() is not None
                reading = asyncio.ensure_future(response.read())
                await asyncio.sleep(0)
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            await gone.wait()

    async def test_closing_the_transport_wakes_who_reads(self) -> None:
        async def begin_only(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1")
            await connection.until_client_closes()

        async with serve(begin_only) as server, upstream_at(server.url) as upstream:
            response = await begin(upstream)
            assert await response.read() is not None
            reading = asyncio.ensure_future(response.read())
            await asyncio.sleep(0)
            await upstream.aclose()
            with pytest.raises(UpstreamBroken):
                await reading
            await response.aclose()

    @pytest.mark.parametrize(
        "text",
        [b"HTTP/1.1 100 Go on\r\n\r\n", b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n", b"a:b\r\n"],
    )
    async def test_what_comes_before_an_answer_has_an_end(self, text: bytes) -> None:
        async def flood(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\n" if text.startswith(b"a") else b"")
            while True:
                await connection.send(text * 1_000)

        async with serve(flood) as server, upstream_at(server.url) as upstream:
            async with asyncio.timeout(10):
                with pytest.raises(UpstreamBroken):
                    await ask(upstream)

    async def test_a_hundred_interim_answers_are_no_answer(self) -> None:
        interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 100

        async def hint(connection: Connection) -> None:
            await connection.send(interim + answered(b"ok"))

        async with serve(hint) as server, upstream_at(server.url) as upstream:
            for _ in range(2):
                assert (await ask(upstream))[1] == b"ok"
            assert server.connections_made == 1

    async def test_trailers_have_an_end(self) -> None:
        async def flood(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n")
            while True:
                await connection.send(b"a:b\r\n" * 1_000)

        async with serve(flood) as server, upstream_at(server.url) as upstream:
            async with asyncio.timeout(10):
                with pytest.raises(UpstreamBroken):
                    await ask(upstream)

    async def test_a_reset_in_the_middle(self) -> None:
        async def reset(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1")
            connection.writer.transport.abort()
            raise EOFError

        async with serve(reset) as server, upstream_at(server.url) as upstream:
            with pytest.raises(UpstreamBroken):
                await ask(upstream)
            assert len(server.requests) == 1


class TestTls:
    async def test_an_answer(self) -> None:
        async def answer(connection: Connection) -> None:
            await connection.send(answered(MEGABYTE))

        async with (
            serve(answer, tls=server_side()) as server,
            upstream_at(server.url, upstream_ca_file=CERTIFICATE) as upstream,
        ):
            for _ in range(2):
                assert (await ask(upstream))[1] == MEGABYTE
            assert server.connections_made == 1

    async def test_who_is_not_trusted_is_sent_nothing(self) -> None:
        async with (
            serve(Connection.until_client_closes, reads=False, tls=server_side()) as server,
            upstream_at(server.url, connect_retries=0) as upstream,
        ):
            sendings = Sendings()
            with pytest.raises(UpstreamUnreachable):
                await ask(upstream, sendings)
            assert sendings.count == 0

    async def test_a_handshake_that_never_ends(self) -> None:
        async with serve(Connection.until_client_closes, reads=False) as server:
            url = server.url.replace("http:", "https:")
            async with upstream_at(url, connect_timeout_seconds=0.2, connect_retries=0) as upstream:
                with pytest.raises(UpstreamUnreachable):
                    await ask(upstream)

    async def test_an_upload(self) -> None:
        async with (
            serve(Swallower(), reads=False, tls=server_side()) as server,
            upstream_at(server.url, upstream_ca_file=CERTIFICATE) as upstream,
        ):
            assert await send_upload(upstream, Upload(pieces(5))) == b"5000000"

    async def test_a_cut_of_the_connection(self) -> None:
        async def cut(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1")
            connection.writer.transport.abort()
            raise EOFError

        async with (
            serve(cut, tls=server_side()) as server,
            upstream_at(server.url, upstream_ca_file=CERTIFICATE) as upstream,
        ):
            with pytest.raises(UpstreamBroken):
                await ask(upstream)


def server_side() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


class TestConnections:
    async def test_a_direct_way_that_swallows_packets_ends_in_the_time_to_connect(self) -> None:
        """As behind a firewall that drops what does not go through its proxy."""
        with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as unanswering:
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:  # the queue is full after one or two; the rest wait as our request will
                filler.setblocking(False)
                filler.connect_ex(unanswering.getsockname())
            url = f"http://127.0.0.1:{unanswering.getsockname()[1]}"
            async with upstream_at(url, connect_timeout_seconds=0.2, connect_retries=1) as upstream:
                with pytest.raises(UpstreamUnreachable):
                    await ask(upstream)
                assert upstream.unreachable_since is not None
            for filler in fillers:
                filler.close()

    async def test_unreachable_is_over_with_the_first_connection(self) -> None:
        port = free_port()
        async with upstream_at(f"http://127.0.0.1:{port}", connect_retries=0) as upstream:
            assert upstream.unreachable_since is None
            with pytest.raises(UpstreamUnreachable):
                await ask(upstream)
            since = upstream.unreachable_since
            assert since is not None
            with pytest.raises(UpstreamUnreachable):
                await ask(upstream)
            assert upstream.unreachable_since == since

            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await Connection(reader, writer).read_request()
                await Connection(reader, writer).send(answered(b"ok"))
                writer.close()

            async with await asyncio.start_server(handle, "127.0.0.1", port):
                await ask(upstream)
            assert upstream.unreachable_since is None

    async def test_are_kept_alive_by_tcp(self, monkeypatch: pytest.MonkeyPatch) -> None:
        idle: list[int] = []

        async def answer(connection: Connection) -> None:
            await connection.send(answered(b"ok"))

        async def looked_at() -> None:
            assert idle == [60]  # before the first byte

        real = socket.socket.setsockopt

        def noted(sock: socket.socket, *args: Any) -> None:
            if args[:2] == (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE):
                idle.append(args[2])
            real(sock, *args)

        monkeypatch.setattr(socket.socket, "setsockopt", noted)
        async with serve(answer) as server, upstream_at(server.url) as upstream:
            await read_whole(await begin(upstream, on_sending=looked_at))
        assert idle == [60]

    async def test_what_on_sending_raises_comes_out_as_it_is(self) -> None:
        async def leave() -> None:
            raise ClientLeft("gone")

        async with serve(Swallower(), reads=False) as server, upstream_at(server.url) as upstream:
            for error in (TimeoutError("slow"), OSError("disk"), ConnectionResetError("db"), ValueError("x")):

                async def fail(error: Exception = error) -> None:
                    raise error

                with pytest.raises(type(error)) as raised:
                    await begin(upstream, on_sending=fail)
                assert raised.value is error
            with pytest.raises(ClientLeft):
                await begin(upstream, on_sending=leave)
