"""A server in the test's own loop that does with each connection exactly what the test says, however rude."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = Callable[["Connection"], Awaitable[None]]


@dataclass
class Connection:
    """One connection, seen from the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read_request(self) -> bytes:
        """One whole request: head and body. Raises IncompleteReadError when the client closes instead."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        return head + await self.reader.readexactly(int(fields.get(b"content-length", b"0")))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_client_closes(self) -> None:
        while await self.reader.read(65_536):
            pass


@dataclass
class Server:
    """`requests` are those read so far, `connections_made` the number of connections."""

    port: int = 0
    connections_made: int = 0
    requests: list[bytes] = field(default_factory=list)
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


@asynccontextmanager
async def serve(
    answer: Answer, *, reads: bool = True, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """Serves on loopback. With `reads`, each request is read and kept first, then `answer` deals with it.

    A connection is closed when `answer` raises EOFError, or after the one call of it that `reads=False` makes.
    """
    state, handlers, failures = Server(), set[asyncio.Task[None]](), list[BaseException]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        state.connections_made += 1
        connection = Connection(reader, writer)
        try:
            while reads:
                state.requests.append(await connection.read_request())
                await answer(connection)
            await answer(connection)
        except (EOFError, ConnectionError, asyncio.CancelledError):
            pass  # IncompleteReadError is an EOFError
        except Exception as error:  # noqa: BLE001 - shown at the end of the test
            failures.append(error)
        finally:
            handlers.discard(task)
            writer.close()

    state.scheme = "http" if tls is None else "https"
    server = await asyncio.start_server(handle, host, 0, limit=2**24, ssl=tls)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in list(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        assert not failures, failures


def answered(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer with a Content-Length."""
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
    return head.encode() + b"\r\n\r\n" + body
