"""One connection against a real server of raw bytes: what comes out, when it is kept, and every way it may break."""

import asyncio
import random
import socket
import struct
import time

import httpx2
import pytest

from app.upstream.http1 import connection as connection_module
from app.upstream.http1.connection import READ_BYTES_MAX
from tests.upstream.asking import NEVER_SENT, Sendings, answer_ok, ask, body_of, both_loops, drop, post, transport
from tests.upstream.raw_server import Connection, answered, serve

anyio_backend = both_loops

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


async def reset(connection: Connection) -> None:
    raw = connection.writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await drop(connection)


class TestAnswers:
    @pytest.mark.parametrize(
        "text",
        [
            answered(b'{"data":[]}', "X-A: 1"),
            CHUNKED + b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nA: b\r\n\r\n",
            b"HTTP/1.1 103 Early\r\n\r\n" + answered(b"ok"),
        ],
        ids=["length", "chunks", "interim"],
    )
    async def test_cut_off_at_any_byte_are_errors_and_never_sent_again(self, text: bytes) -> None:
        length = 0

        async def send(connection: Connection) -> None:
            await connection.send(text[:length])
            raise EOFError

        async with serve(send) as server, transport() as opened:
            for length in range(len(text)):  # noqa: B007 - `send` looks at it
                sendings = Sendings()
                with pytest.raises(httpx2.TransportError) as raised:
                    await ask(opened, post(server.url, sendings))
                assert not isinstance(raised.value, NEVER_SENT)
                assert sendings.count == 1
            length = len(text)
            assert await ask(opened, post(server.url))
            assert len(server.requests) == len(text) + 1

    @pytest.mark.parametrize("seed", range(20))
    async def test_are_the_same_in_whatever_pieces_they_come(self, seed: int) -> None:
        chance = random.Random(seed)
        data = chance.randbytes(chance.choice([0, 1, 1000, 300_000]))
        wire = b""
        at = 0
        while at < len(data):
            chunk = data[at : at + chance.choice([1, 100, 16_384, 200_000])] if at < 2000 else data[at : at + 20_000]
            wire += b"%x\r\n%b\r\n" % (len(chunk), chunk)
            at += len(chunk)
        text = chance.choice([answered(data), CHUNKED + wire + b"0\r\n\r\n"])

        async def send(connection: Connection) -> None:
            at = 0
            while at < len(text):
                size = chance.choice([1, 2, 10, 60]) if at < 300 else chance.choice([1000, 16_000, 100_000])
                await connection.send(text[at : at + size])
                await asyncio.sleep(0)
                at += size

        async with serve(send) as server, transport() as opened:
            for _ in range(2):
                assert await ask(opened, post(server.url)) == data
            assert server.connections_made == 1

    @pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
    async def test_of_megabytes_come_in_bounded_chunks(self, chunked: bool) -> None:
        piece = bytes(range(256)) * 64

        async def send(connection: Connection) -> None:
            await connection.send(CHUNKED if chunked else OK + b"Content-Length: %d\r\n\r\n" % (len(piece) * 1000))
            for _ in range(1000):
                await connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await connection.send(b"0\r\n\r\n" if chunked else b"")

        async with serve(send) as server, transport() as opened:
            response = await opened.handle_async_request(post(server.url))
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            chunks = [chunk async for chunk in response.stream]
            assert b"".join(chunks) == piece * 1000
            assert max(map(len, chunks)) <= READ_BYTES_MAX

    @pytest.mark.parametrize(("slow_seconds", "largest"), [(-1.0, 65_536), (60.0, READ_BYTES_MAX)])
    async def test_come_in_small_chunks_for_slow_readers(
        self, slow_seconds: float, largest: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection_module, "_SLOW_SECONDS", slow_seconds)
        text = answered(bytes(8_000_000))
        async with serve(lambda connection: connection.send(text)) as server, transport() as opened:
            response = await opened.handle_async_request(post(server.url))
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            sizes = []
            async for chunk in response.stream:
                sizes.append(len(chunk))
                time.sleep(0.001)  # noqa: ASYNC251 - so that the kernel has more than one read can take
            assert sum(sizes) == 8_000_000
            assert max(sizes) == largest

    @pytest.mark.parametrize(
        ("method", "text"),
        [
            ("HEAD", OK + b"Content-Length: 5\r\n\r\n"),
            ("POST", b"HTTP/1.1 204 No Content\r\n\r\n"),
            ("POST", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
            ("POST", answered(b"")),
            ("POST", CHUNKED + b"0\r\n\r\n"),
        ],
    )
    async def test_without_a_body_keep_the_connection(self, method: str, text: bytes) -> None:
        async with serve(lambda connection: connection.send(text)) as server, transport() as opened:
            for _ in range(2):
                request = httpx2.Request(method, server.url)
                assert await body_of(await opened.handle_async_request(request)) == b""
            assert server.connections_made == 1

    async def test_whole_ones_that_nobody_read_keep_the_connection(self) -> None:
        async with serve(answer_ok) as server, transport() as opened:
            for _ in range(2):
                response = await opened.handle_async_request(post(server.url))
                await response.aclose()
                await response.aclose()
            assert server.connections_made == 1

    async def test_that_end_with_the_connection(self) -> None:
        async def send(connection: Connection) -> None:
            await connection.send(OK + b"\r\nhello")
            raise EOFError

        async with serve(send) as server, transport() as opened:
            for _ in range(2):
                assert await ask(opened, post(server.url)) == b"hello"
            assert server.connections_made == 2

    async def test_that_would_end_with_the_connection_and_are_reset(self) -> None:
        begun = asyncio.Event()

        async def send(connection: Connection) -> None:
            await connection.send(OK + b"\r\nhello")
            await begun.wait()
            await reset(connection)

        async with serve(send) as server, transport() as opened:
            response = await opened.handle_async_request(post(server.url))
            begun.set()
            with pytest.raises(httpx2.ReadError):
                await body_of(response)
            await response.aclose()

    async def test_trickling_in_without_a_byte_for_the_caller_are_silence(self) -> None:
        async def trickle(connection: Connection) -> None:
            await connection.send(CHUNKED + b"5")
            while True:
                await connection.send(b";x")
                await asyncio.sleep(0.02)

        async with serve(trickle) as server, transport(silence_seconds=0.2) as opened:
            response = await opened.handle_async_request(post(server.url))
            with pytest.raises(httpx2.ReadTimeout):
                await body_of(response)
            await response.aclose()

    async def test_slow_in_coming_are_awaited_byte_by_byte(self) -> None:
        """The bound is on each wait, not on their sum."""

        async def dribble(connection: Connection) -> None:
            await connection.send(OK + b"Content-Length: 8\r\n\r\n")
            for _ in range(8):
                await asyncio.sleep(0.1)
                await connection.send(b"x")

        async with serve(dribble) as server, transport(silence_seconds=0.5) as opened:
            assert await ask(opened, post(server.url)) == b"x" * 8


class TestBytesNobodyAskedFor:
    @pytest.mark.parametrize(
        "text",
        [answered(b"ok") + answered(b"poison"), CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + b"x"],
        ids=["length", "chunks"],
    )
    async def test_after_an_answer_end_the_connection(self, text: bytes) -> None:
        async with serve(lambda connection: connection.send(text)) as server, transport() as opened:
            for _ in range(3):
                assert await ask(opened, post(server.url)) == b"ok"
            assert server.connections_made == 3

    async def test_while_idle_end_the_connection(self) -> None:
        gone = asyncio.Event()

        async def send(connection: Connection) -> None:
            await answer_ok(connection)
            if server.connections_made == 1:
                await idle.wait()
                await connection.send(answered(b"poison"))
                await connection.until_client_closes()
                gone.set()
                raise EOFError

        idle = asyncio.Event()
        async with serve(send) as server, transport() as opened:
            assert await ask(opened, post(server.url)) == b"ok"
            idle.set()
            await gone.wait()
            assert await ask(opened, post(server.url)) == b"ok"
            assert server.connections_made == 2

    async def test_before_the_first_byte_was_written_are_no_answer(self) -> None:
        gone = asyncio.Event()

        async def send(connection: Connection) -> None:
            await answer_ok(connection)
            if server.connections_made == 1:
                await announced.wait()
                await connection.send(answered(b"poison"))
                await connection.until_client_closes()
                gone.set()
                raise EOFError

        announced, count = asyncio.Event(), 0

        async def on_sending() -> None:
            nonlocal count
            count += 1
            announced.set()
            await gone.wait()

        async with serve(send) as server, transport(connections_max=1) as opened:
            assert await ask(opened, post(server.url)) == b"ok"
            assert await ask(opened, post(server.url, on_sending)) == b"ok"
            assert (count, len(server.requests), server.connections_made) == (1, 2, 2)


class TestRequests:
    async def test_over_a_connection_lost_before_the_first_byte_take_another(self) -> None:
        async def send(connection: Connection) -> None:
            await answer_ok(connection)
            if server.connections_made == 1:
                await announced.wait()
                raise EOFError

        announced, count = asyncio.Event(), 0

        async def on_sending() -> None:
            nonlocal count
            count += 1
            (connection,) = opened._pool._open
            announced.set()
            while connection.usable:  # noqa: ASYNC110 - what is lost tells nobody
                await asyncio.sleep(0)

        async with serve(send) as server, transport(connections_max=1) as opened:
            assert await ask(opened, post(server.url)) == b"ok"
            assert await ask(opened, post(server.url, on_sending)) == b"ok"
            assert (count, len(server.requests), server.connections_made) == (1, 2, 2)

    async def test_refused_before_they_are_written_whole(self) -> None:
        """The refusal is the answer, though the server never read the rest."""
        finish = asyncio.Event()

        async def refuse(connection: Connection) -> None:
            await connection.reader.readuntil(b"\r\n\r\n")
            await connection.send(answered(b"too large", status="413 Content Too Large"))
            await finish.wait()

        async with serve(refuse, reads=False) as server, transport() as opened:
            for _ in range(2):
                response = await opened.handle_async_request(post(server.url, content=bytes(64_000_000)))
                assert (response.status_code, await body_of(response)) == (413, b"too large")
            finish.set()
            assert server.connections_made == 2

    async def test_answered_before_they_are_written_whole_are_written_on(self) -> None:
        content = bytes(range(256)) * 40_000

        async def echo(connection: Connection) -> None:
            await connection.reader.readuntil(b"\r\n\r\n")
            await connection.send(OK + b"Content-Length: %d\r\n\r\n" % len(content))
            left = len(content)
            while left:
                data = await connection.reader.read(65_536)
                left -= len(data)
                await connection.send(data)
            await connection.until_client_closes()

        async with serve(echo, reads=False) as server, transport() as opened:
            response = await opened.handle_async_request(post(server.url, content=content))
            assert await body_of(response) == content

    async def test_do_not_pile_up_before_a_slow_server(self) -> None:
        """Of 64 MB, what is written is what the server takes and one piece."""
        taken, go_on = asyncio.Event(), asyncio.Event()

        async def slow(connection: Connection) -> None:
            connection.writer.transport.pause_reading()  # type: ignore[attr-defined]  # every real transport has it
            taken.set()
            await go_on.wait()
            connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
            await connection.read_request()
            await answer_ok(connection)

        async with serve(slow, reads=False) as server, transport() as opened:
            asking = asyncio.ensure_future(opened.handle_async_request(post(server.url, content=bytes(64_000_000))))
            await taken.wait()
            for _ in range(50):
                await asyncio.sleep(0)
            (connection,) = opened._pool._open
            assert connection._transport is not None
            assert connection._transport.get_write_buffer_size() < 300_000
            assert len(connection._unsent) > 32_000_000
            go_on.set()
            assert await body_of(await asking) == b"ok"

    @pytest.mark.parametrize(
        "request_",
        [
            httpx2.Request("POST", "http://127.0.0.1:1", headers={"transfer-encoding": "chunked"}, content=b"a"),
            httpx2.Request("POST", "http://127.0.0.1:1", headers={"content-length": "5"}, content=b"abc"),
            httpx2.Request("GET /x HTTP/1.1\r\nA:", "http://127.0.0.1:1"),
            httpx2.Request("GET", "http://127.0.0.1:1", headers={"a": "b\0c"}),
            httpx2.Request("GET", "http://127.0.0.1:1", headers={"a\nb": "c"}),
            httpx2.Request("GET", "ftp://127.0.0.1:1"),
            httpx2.Request("GET", "/nowhere"),
        ],
        ids=["chunks", "long", "method", "nul", "name", "ftp", "no host"],
    )
    async def test_that_cannot_be_sent(self, request_: httpx2.Request) -> None:
        async with transport() as opened:
            with pytest.raises(httpx2.LocalProtocolError):
                await opened.handle_async_request(request_)

    async def test_whose_headers_tell_no_length_are_sent_with_it(self) -> None:
        async with serve(answer_ok) as server, transport() as opened:
            await ask(opened, httpx2.Request("POST", server.url, stream=httpx2.ByteStream(b"abc")))
            assert b"\r\ncontent-length: 3\r\n\r\nabc" in server.requests[0]
