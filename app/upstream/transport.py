"""HTTPX's transport over aiohttp's client, with errors that tell exactly whether the request had begun to be sent.

That is learnt from the engine's hooks, never from an exception's class (docs/decisions/0001): ConnectError,
ConnectTimeout, PoolTimeout and LocalProtocolError mean that not one byte was sent, every other error that some may
have been. Nothing is ever sent twice.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace

import aiohttp
import httpx2
from yarl import URL

OnSending = Callable[[], Awaitable[None]]
ON_SENDING = "on_sending"  # where a request's extensions may carry an OnSending

# Below the 5 s after which uvicorn and Node close an idle connection: a request written into a connection that the
# server is closing has an unknown outcome, and that costs more than a new connection every few seconds.
_IDLE_SECONDS = 4
# The engine stops reading above twice this: with reads of up to 256 KiB, one chunk at a time waits to be taken.
_READ_BUFFER_BYTES = 65_536
_WRITE_BYTES = 65_536
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """One bounded pool of connections: no redirects, no cookies, no proxies. Make it in the loop that will use it.

    Its ON_SENDING is awaited once a connection is there and before the first byte of a request is written; if it
    raises, nothing is sent and its error comes out. `connect_seconds` bounds the way to a connection, the wait for a
    free one included; `silence_seconds` the wait for any byte of the answer, from when sending began. An answer that
    comes compressed all the same is given uncompressed.
    """

    def __init__(self, *, connect_seconds: float, silence_seconds: float, connections_max: int) -> None:
        self._silence_seconds = silence_seconds
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections_max, keepalive_timeout=_IDLE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect_seconds, sock_read=silence_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            read_bufsize=_READ_BUFFER_BYTES,
            trace_configs=[_tracing()],
            trust_env=False,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises httpx2.TransportError, or what its ON_SENDING raised."""
        headers = request.headers.multi_items()
        if any(_FORBIDDEN.search(name + value) for name, value in headers):
            # The engine checks them too, but only after it has told that sending begins.
            raise httpx2.LocalProtocolError("A header holds a control character.")
        sending = _Sending(request.extensions.get(ON_SENDING), self._silence_seconds)
        try:
            async with sending.silence:
                answer = await self._session.request(
                    request.method,
                    URL(str(request.url), encoded=True),
                    headers=headers,
                    data=_pieces(await request.aread()) if "content-length" in request.headers else None,
                    allow_redirects=False,
                    trace_request_ctx=sending,
                )
        except (aiohttp.ClientError, OSError, UnicodeError) as error:  # as a timeout, and a host no DNS can hold, are
            raise sending.explain(error) from error
        if answer.status == 101:
            answer.close()
            raise httpx2.RemoteProtocolError("nobody asked to switch protocols")
        return httpx2.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer))

    async def aclose(self) -> None:
        await self._session.close()


class _Sending:
    """How far one request has come."""

    def __init__(self, on_sending: OnSending | None, silence_seconds: float) -> None:
        self.waits_for_pool = False
        # Runs from when sending begins: the engine's own timer would start only when the whole request is written.
        self.silence = asyncio.timeout(None)
        self._silence_seconds = silence_seconds
        self._on_sending = on_sending
        self._has_begun = False
        self._refusal: Exception | None = None

    async def begin(self) -> None:
        """The engine has a connection and is about to write the first byte."""
        if self._has_begun:
            # The engine tries idempotent methods again by itself when a kept connection turns out to be dead.
            raise aiohttp.ClientConnectionError("a request is not sent twice")
        if self._on_sending is not None:
            try:
                await self._on_sending()
            except Exception as error:
                self._refusal = error
                raise
        self._has_begun = True
        self.silence.reschedule(asyncio.get_running_loop().time() + self._silence_seconds)

    def explain(self, error: Exception) -> Exception:
        """The engine's error in httpx2's words."""
        if self._refusal is not None:
            return self._refusal
        timed_out, reason = isinstance(error, TimeoutError), type(error).__name__
        if not self._has_begun:
            if timed_out:
                return httpx2.PoolTimeout(reason) if self.waits_for_pool else httpx2.ConnectTimeout(reason)
            return httpx2.ConnectError(reason)
        if timed_out:
            return httpx2.ReadTimeout(reason)
        if isinstance(error, aiohttp.ClientResponseError):
            return httpx2.RemoteProtocolError(reason)
        return httpx2.ReadError(reason)


class _Body(httpx2.AsyncByteStream):
    """The answer's bytes as they come. Not reading them stops the sender; `aclose` drops an unfinished answer."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        protocol = answer.connection.protocol if answer.connection is not None else None
        # None where the body is whole already, or the connection is gone already.
        self._lost = protocol.closed if protocol is not None else None
        if self._lost is not None:
            self._lost.remove_done_callback(_seen)  # once for each connection is enough
            self._lost.add_done_callback(_seen)
            self._lost.add_done_callback(self._on_lost)
        elif protocol is not None:
            self._break_off()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._read():
            yield chunk

    async def _read(self) -> bytes:
        try:
            return await self._answer.content.readany()
        except TimeoutError as error:
            raise httpx2.ReadTimeout(type(error).__name__) from error
        except (aiohttp.ClientError, OSError, RuntimeError) as error:  # RuntimeError: the transport was closed
            raise httpx2.ReadError(type(error).__name__) from error

    async def aclose(self) -> None:
        if self._lost is not None:
            self._lost.remove_done_callback(self._on_lost)
        self._answer.close()

    def _on_lost(self, _: asyncio.Future[None]) -> None:
        self._break_off()

    def _break_off(self) -> None:
        """Wake who reads. The engine forgets that when chunked framing turns to garbage, and when it is closed."""
        content = self._answer.content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection is gone"))


def _seen(lost: asyncio.Future[None]) -> None:
    """Why an idle connection was lost matters to nobody; unread, asyncio would log it."""
    if not lost.cancelled():
        lost.exception()


async def _pieces(body: bytes) -> AsyncIterator[memoryview]:
    """The request's body in pieces: the engine would write megabytes at once, and could replay them."""
    view = memoryview(body)
    for at in range(0, len(view), _WRITE_BYTES):
        yield view[at : at + _WRITE_BYTES]


def _tracing() -> aiohttp.TraceConfig:
    """Hooks that tell a _Sending how far it has come.

    `on_request_headers_sent` is awaited, despite its name, before the headers are written, for new and kept
    connections alike, and outside of the connect timeout; if it raises, the connection is closed. (The hooks of the
    connector leak the connection then.)
    """
    tracing = aiohttp.TraceConfig()

    async def on_request_headers_sent(_: object, context: SimpleNamespace, __: object) -> None:
        await context.trace_request_ctx.begin()

    async def on_queued(_: object, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.waits_for_pool = True

    async def on_unqueued(_: object, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.waits_for_pool = False

    tracing.on_request_headers_sent.append(on_request_headers_sent)
    tracing.on_connection_queued_start.append(on_queued)
    tracing.on_connection_queued_end.append(on_unqueued)
    return tracing
