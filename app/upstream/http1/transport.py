"""HTTPX's transport over our own connections. Its errors tell whether a request had begun to be sent.

Before the first byte of a request is written, its `trace` extension is called with FIRST_BYTE, as httpcore does. If
that raises, nothing is sent and its error is raised. ConnectError, ConnectTimeout and PoolTimeout mean that no byte was
sent, whenever they are raised; so does LocalProtocolError before FIRST_BYTE. Nothing is ever sent twice.
"""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import httpx2

from app.upstream.http1.connection import Connection
from app.upstream.http1.framing import Head
from app.upstream.http1.origin import Origin, origin_of
from app.upstream.http1.pool import Pool, PoolBounds
from app.upstream.http1.request_head import RequestHeads
from app.upstream.http1.sending import in_chunks, of_length
from app.upstream.wire.certificates import tls_context
from app.upstream.wire.chunks import Chunk

FIRST_BYTE = "http11.send_request_headers.started"


class Transport(httpx2.AsyncBaseTransport):
    """One bounded pool of connections: no redirects, no cookies, no proxies. Make it in the loop that will use it.

    `connect_seconds` of `bounds` bounds the time until there is a connection, including the wait for a free one.
    `silence_seconds` bounds the wait for an answer from when sending began, and for each further byte. `tls` makes the
    TLS context of all connections, when one is needed.
    """

    def __init__(self, bounds: PoolBounds, tls: Callable[[], ssl.SSLContext] = tls_context) -> None:
        self._pool = Pool(bounds, tls)
        self._heads = RequestHeads()
        self._asked_last: tuple[httpx2.URL, Origin] | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises httpx2.TransportError, what `trace` raised, or what a streamed body raised."""
        return await self.send(request, None)

    async def send(self, request: httpx2.Request, connection: Connection | None) -> httpx2.Response:
        """As handle_async_request, over the lent connection if it is still fresh when the request may be sent."""
        try:
            # Not `request.aread()`, which joins the one piece in a coroutine with an asynchronous iterator.
            body = b"".join(request.stream) if isinstance(request.stream, httpx2.ByteStream) else None
            head, length = self._heads.of(request, body)
            connection = connection or await self._pool.lend(origin_of(request.url))
            trace = request.extensions.get("trace")
            if trace is not None:
                await trace(FIRST_BYTE, {"request": request})
                if not connection.fresh:  # lost meanwhile, or idle for too long: nothing was written into it
                    connection.end()
                    connection = await self._pool.lend(origin_of(request.url))
            if body is not None:
                answer = await connection.ask(request.method, head, body)
            else:
                assert isinstance(request.stream, httpx2.AsyncByteStream)
                stream = request.stream
                async with aclosing(in_chunks(stream) if length is None else of_length(stream, length)) as pieces:
                    answer = await connection.ask(request.method, head, pieces)
            return _response(answer, connection)
        except BaseException:
            if connection is not None:
                connection.end()
            raise

    async def lend_waiting(self, url: httpx2.URL) -> "LentConnection | None":
        """A kept connection to that server, if one waits there."""
        if self._asked_last is None or self._asked_last[0] is not url:  # parsing the URL would cost more than the rest
            self._asked_last = (url, origin_of(url))
        connection = await self._pool.lend_waiting(self._asked_last[1])
        return None if connection is None else LentConnection(self, connection)

    async def aclose(self) -> None:
        """Closes every connection; answers still being read break. May be called more than once."""
        await self._pool.aclose()


class LentConnection(httpx2.AsyncBaseTransport):
    """A kept connection that was taken before the request exists. It is the transport of one request, unless it is
    closed first.
    """

    def __init__(self, transport: Transport, connection: Connection) -> None:
        self._transport = transport
        self._connection: Connection | None = connection

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends the request over this connection, or over another one if this one is no longer usable. Raises as
        Transport does.
        """
        connection, self._connection = self._connection, None
        return await self._transport.send(request, connection)

    async def aclose(self) -> None:
        """Returns the connection, if no request took it."""
        if self._connection is not None:
            self._connection.end()
            self._connection = None


class AnswerStream(httpx2.AsyncByteStream):
    """The answer's body as it comes. If nobody reads, the sender stops. `aclose` drops an unfinished answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection

    async def read(self) -> Chunk | None:
        """The next bytes; None at the end. Raises httpx2.TransportError."""
        connection = self._connection
        if connection is None:
            return None
        chunk = await connection.read()
        if not connection.busy:
            self._connection = None  # by now it may serve another request
        return chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """For httpx2, which reads copies."""
        while (chunk := await self.read()) is not None:
            yield bytes(chunk.view)

    async def aclose(self) -> None:
        if self._connection is not None:
            self._connection.end()
            self._connection = None


def _response(answer: Head, connection: Connection) -> httpx2.Response:
    # HTTPX's documented extension: it gives the address and the certificate of the server.
    extensions = {"network_stream": connection}
    return httpx2.Response(
        answer.status, headers=answer.headers, stream=AnswerStream(connection), extensions=extensions
    )
