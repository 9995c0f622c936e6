"""TLS: who is trusted, how it begins and ends, and that no cut of its bytes hangs or passes for an end."""

import asyncio
import os
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.upstream.http1.connection import READ_BYTES_MAX
from tests.upstream.asking import (
    NEVER_SENT,
    Sendings,
    answer_ok,
    ask,
    body_of,
    both_loops,
    drop,
    give_up,
    post,
    transport,
)
from tests.upstream.raw_server import Connection, answered, serve

anyio_backend = both_loops

CERTIFICATE = Path(__file__).parents[1] / "localhost.pem"  # for localhost and the loopback addresses, until 2125


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))


def server_side(
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, on_name: Callable[[str | None], None] | None = None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.maximum_version = version
    if on_name is not None:
        context.sni_callback = lambda _, name, __: on_name(name)
    return context


@asynccontextmanager
async def between(port: int, pieces: Callable[[bytes], list[bytes]], cut_at: int = 2**40) -> AsyncIterator[int]:
    """A way to the server on `port` that delivers what it says in `pieces`, and drops after `cut_at` bytes of it."""
    tasks = set[asyncio.Task[None] | None]()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        there, back = await asyncio.open_connection("127.0.0.1", port)

        async def up() -> None:
            while data := await reader.read(65_536):
                back.write(data)

        going = asyncio.ensure_future(up())
        left = cut_at
        try:
            while left and (data := await there.read(65_536)):
                for piece in pieces(data[:left]):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                left -= min(left, len(data))
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            going.cancel()
            back.transport.abort()
            writer.close()

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            assert task is not None
            task.cancel()
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)


@pytest.mark.usefixtures("trusted")
class TestTrusted:
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_an_answer_over_a_kept_connection(self, version: ssl.TLSVersion) -> None:
        names: list[str | None] = []
        protocols: list[str | None] = []

        async def answer(connection: Connection) -> None:
            protocols.append(connection.writer.get_extra_info("ssl_object").selected_alpn_protocol())
            await answer_ok(connection)

        async with serve(answer, tls=server_side(version, names.append)) as server, transport() as opened:
            for _ in range(3):
                url = server.url.replace("127.0.0.1", "localhost")
                assert await ask(opened, post(url)) == b"ok"
            assert (server.connections_made, names, protocols) == (1, ["localhost"], ["http/1.1"] * 3)

    async def test_sending_is_announced_after_the_handshake(self) -> None:
        async def on_sending() -> None:
            (connection,) = opened._pool._open
            assert connection.usable
            assert server.requests == []

        async with serve(answer_ok, tls=server_side()) as server, transport() as opened:
            assert await ask(opened, post(server.url, on_sending)) == b"ok"

    async def test_megabytes_both_ways(self) -> None:
        content = random.Random(1).randbytes(5_000_000)

        async def echo(connection: Connection) -> None:
            await connection.send(answered(server.requests[-1].partition(b"\r\n\r\n")[2]))

        async with serve(echo, tls=server_side()) as server, transport() as opened:
            response = await opened.handle_async_request(post(server.url, content=content))
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            chunks = [chunk async for chunk in response.stream]
            assert b"".join(chunks) == content
            assert max(map(len, chunks)) <= READ_BYTES_MAX + 32_768

    @pytest.mark.parametrize("seed", range(8))
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_its_bytes_in_whatever_pieces_they_come(self, seed: int, version: ssl.TLSVersion) -> None:
        chance = random.Random(seed)
        content = chance.randbytes(chance.choice([10, 100_000]))

        def pieces(data: bytes) -> list[bytes]:
            size = chance.choice([1, 3, 50]) if len(data) < 5_000 else chance.choice([5_000, 20_000])
            return [data[at : at + size] for at in range(0, len(data), size)]

        text = answered(content)
        async with (
            serve(lambda connection: connection.send(text), tls=server_side(version)) as server,
            between(server.port, pieces) as port,
            transport() as opened,
        ):
            for _ in range(2):
                assert await ask(opened, post(f"https://127.0.0.1:{port}")) == content
            assert server.connections_made == 1

    @pytest.mark.parametrize("framed", [True, False], ids=["length", "until the end"])
    async def test_cut_off_at_any_byte_is_an_error(self, framed: bool) -> None:
        """Without TLS's goodbye nothing is taken for whole unless its own framing says so."""

        async def send(connection: Connection) -> None:
            body = b"x" * 2_000
            await connection.send(answered(body) if framed else b"HTTP/1.1 200 OK\r\n\r\n" + body)
            await connection.until_client_closes()

        async with serve(send, tls=server_side()) as server, transport() as opened:
            for cut_at in range(0, 2_600, 130):
                sendings = Sendings()
                async with between(server.port, lambda data: [data], cut_at) as port:
                    try:
                        got = await ask(opened, post(f"https://127.0.0.1:{port}", sendings))
                    except NEVER_SENT:
                        assert sendings.count == 0
                    except httpx2.ReadError:
                        assert sendings.count == 1
                    else:
                        assert framed
                        assert got == b"x" * 2_000

    async def test_a_goodbye_ends_an_answer_without_a_length(self) -> None:
        async def send(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
            raise EOFError

        async with serve(send, tls=server_side()) as server, transport() as opened:
            for _ in range(2):
                assert await ask(opened, post(server.url)) == b"hello"

    async def test_a_drop_is_no_goodbye(self) -> None:
        begun = asyncio.Event()

        async def send(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
            await begun.wait()
            await drop(connection)

        async with serve(send, tls=server_side()) as server, transport() as opened:
            response = await opened.handle_async_request(post(server.url))
            begun.set()
            with pytest.raises(httpx2.ReadError):
                await body_of(response)
            await response.aclose()

    async def test_garbage_in_the_middle_is_an_error(self) -> None:
        async def send(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
            await begun.wait()
            os.write(connection.writer.get_extra_info("socket").fileno(), b"not TLS at all\r\n" * 10)
            await connection.until_client_closes()

        begun = asyncio.Event()
        async with serve(send, tls=server_side()) as server, transport() as opened:
            response = await opened.handle_async_request(post(server.url))
            begun.set()
            with pytest.raises(httpx2.ReadError):
                await body_of(response)
            await response.aclose()

    async def test_says_goodbye_itself(self) -> None:
        """An asyncio server would log an error otherwise, and others count it as an attack."""
        ended: asyncio.Queue[bytes] = asyncio.Queue()

        async def answer(connection: Connection) -> None:
            await answer_ok(connection)
            ended.put_nowait(await connection.reader.read())
            raise EOFError

        async with serve(answer, tls=server_side()) as server, transport() as opened:
            await ask(opened, post(server.url))
            (connection,) = opened._pool._open
            connection.close()
            assert await ended.get() == b""
            await asyncio.sleep(0)

    async def test_a_request_that_was_given_up_drops_the_handshake(self) -> None:
        async with serve(answer_ok, tls=server_side()) as server, transport(connections_max=1) as opened:
            for steps in range(0, 40, 3):
                await give_up(opened, post(server.url), steps)
                assert opened._pool._slots._value == 1
            assert await ask(opened, post(server.url)) == b"ok"


class TestNotTrusted:
    async def test_an_unknown_authority(self) -> None:
        sendings = Sendings()
        async with serve(answer_ok, tls=server_side()) as server, transport() as opened:
            with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await opened.handle_async_request(post(server.url, sendings))
        assert (sendings.count, server.requests) == (0, [])

    @pytest.mark.usefixtures("trusted")
    async def test_another_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sendings = Sendings()
        async with serve(answer_ok, tls=server_side()) as server, transport() as opened:
            real = asyncio.get_running_loop().getaddrinfo

            async def resolve(_: object, __: str, port: int, **options: Any) -> list[Any]:
                return await real("127.0.0.1", port, **options)

            monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", resolve)
            with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await opened.handle_async_request(post(f"https://images.invalid:{server.port}", sendings))
        assert (sendings.count, server.requests) == (0, [])
