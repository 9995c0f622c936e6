"""HTTPX's transport over connections of our own, with errors that tell whether a request had begun to be sent.

ConnectError, ConnectTimeout, PoolTimeout and LocalProtocolError mean that not one byte was sent, every other error
that some may have been (docs/decisions/0001). Nothing is ever sent twice.
"""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import chain

import httpx2

from app.upstream.http1.buffers import Chunk
from app.upstream.http1.connection import Connection, Origin
from app.upstream.http1.framing import Head
from app.upstream.http1.inflate import INFLATED, Inflater
from app.upstream.http1.pool import Bounds, Pool

OnSending = Callable[[], Awaitable[None]]
# Where a request's extensions may carry an OnSending, and a connection of `lend_waiting`, which is the request's then.
ON_SENDING = "on_sending"
OVER = "over"

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_OF_THE_COMPRESSED = frozenset({b"content-length", b"content-encoding"})
_EVENTS = b"text/event-stream"  # a few compressed bytes would become millions of events
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Transport(httpx2.AsyncBaseTransport):
    """One bounded pool of connections: no redirects, no cookies, no proxies. Make it in the loop that will use it.

    Its ON_SENDING is awaited once a connection is there and before the first byte of a request is written; if it
    raises, nothing is sent and its error comes out. Of `bounds`, `connect_seconds` bounds the way to a connection, the
    wait for a free one included; `silence_seconds` the wait for an answer from when sending began, and for any further
    bytes of it. An answer that comes compressed all the same is given uncompressed.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._pool = Pool(bounds)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises httpx2.TransportError, or what its ON_SENDING raised."""
        connection: Connection | None = request.extensions.pop(OVER, None)
        try:
            body = await request.aread()
            head = _head(request, body)
            connection = connection or await self._pool.lend(origin_of(request.url))
            on_sending: OnSending | None = request.extensions.get(ON_SENDING)
            if on_sending is not None:
                await on_sending()
                if not connection.fresh:  # lost meanwhile, or quiet for too long: nothing was written into it
                    connection.end()
                    connection = await self._pool.lend(origin_of(request.url))
            answer = await connection.ask(request.method, head, body)
            return _response(answer, connection)
        except BaseException:
            if connection is not None:
                connection.end()
            raise

    def lend_waiting(self, origin: Origin) -> Awaitable[Connection | None]:
        """A kept connection to that server, if one waits there; give it to a request as OVER, or end it."""
        return self._pool.lend_waiting(origin)

    async def aclose(self) -> None:
        """Closes every connection; answers still being read break. May be called more than once."""
        await self._pool.aclose()


class AnswerStream(httpx2.AsyncByteStream):
    """The answer's body as it comes. Not reading it stops the sender; `close` drops an unfinished answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection

    async def read(self) -> Chunk | None:
        """The next bytes; None at the end. Raises httpx2.TransportError."""
        connection = self._connection
        if connection is None:
            return None
        chunk = await connection.read()
        if not connection.busy:
            self._connection = None  # it may be another request's by now
        return chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """As httpx2 reads it: in copies."""
        while (chunk := await self.read()) is not None:
            yield bytes(chunk.view)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.end()
            self._connection = None

    async def aclose(self) -> None:
        self.close()


class _InflatedStream(AnswerStream):
    """What a compressed body was before."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._inflating = Inflater()
        self._pieces: Iterator[bytes] = iter(())

    async def read(self) -> Chunk | None:
        try:
            while (piece := next(self._pieces, None)) is None:
                chunk = await super().read()
                if chunk is None:
                    self._inflating.end()
                    return None
                self._pieces = self._inflating.feed(bytes(chunk.view))
            await asyncio.sleep(0)  # little that comes may become many pieces: others run between them
            return Chunk(piece, memoryview(piece))
        except zlib.error as error:
            raise httpx2.ReadError(str(error)) from error


def origin_of(url: httpx2.URL) -> Origin:
    """Whom to connect with. Raises LocalProtocolError."""
    scheme, host = url.scheme, url.raw_host
    if scheme not in _DEFAULT_PORTS or not host:
        raise httpx2.LocalProtocolError("The URL is not one of http or https with a host.")
    return Origin(scheme == "https", host.decode("ascii"), url.port or _DEFAULT_PORTS[scheme])


def _head(request: httpx2.Request, body: bytes) -> bytes:
    """The request's head; where its headers tell no length of a body, with that."""
    fields = request.headers.raw
    method, target = request.method.encode(), request.url.raw_path
    if not method.isalpha() or _CONTROL.search(b"".join([target, *chain.from_iterable(fields)])):
        raise httpx2.LocalProtocolError("The method or a header holds what cannot be sent.")
    # Of a body that is longer than its headers say, the server would take the rest for another request.
    length = b"%d" % len(body)
    framing = [value for name, value in fields if name.lower() in _FRAMING]
    if framing not in ([], [length]):
        raise httpx2.LocalProtocolError("The body's length is not what the headers say.")
    lines = [b"%b: %b" % field for field in fields]
    if body and not framing:
        lines.append(b"content-length: %b" % length)
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), *lines, b"", b""])


def _response(answer: Head, connection: Connection) -> httpx2.Response:
    encoding = answer.encoding.strip().lower()
    if encoding in (b"", b"identity"):
        return httpx2.Response(answer.status, headers=answer.headers, stream=AnswerStream(connection))
    if encoding not in INFLATED:
        raise httpx2.RemoteProtocolError("The answer's content encoding is not known here.")
    if any(name.lower() == b"content-type" and _EVENTS in value.lower() for name, value in answer.headers):
        raise httpx2.RemoteProtocolError("An event stream must not be compressed.")
    # Neither its encoding nor its length is true of what is given.
    headers = [(name, value) for name, value in answer.headers if name.lower() not in _OF_THE_COMPRESSED]
    return httpx2.Response(answer.status, headers=headers, stream=_InflatedStream(connection))
