"""HTTPX's transport over aiohttp's client, with errors that tell exactly whether the request had begun to be sent.

aiohttp's tracing hooks say when a connection is there and nothing is written yet (docs/decisions/0001). Connect*
errors are raised only before that moment; everything after it is another kind of error.
"""

from collections.abc import AsyncIterator
from types import SimpleNamespace

import aiohttp
import httpx2
from yarl import URL

ON_SENDING = "on_sending"  # its place in a request's extensions: an async function without arguments
_READ_BUFFER_BYTES = 131_072  # aiohttp stops reading at twice that, so a slow client holds no more than this
_IDLE_SECONDS = 15.0  # shorter than servers keep idle connections: one they closed must not meet a request


class _Sending:
    """The moment when a request begins to be sent."""

    def __init__(self, extensions: object) -> None:
        self._on_sending = extensions.get(ON_SENDING) if isinstance(extensions, dict) else None
        self.began = False

    async def begin(self) -> None:
        """Raises what `on_sending` raises: then nothing is sent."""
        if self._on_sending is not None:
            await self._on_sending()
        self.began = True


async def _connection_is_there(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    await context.trace_request_ctx.begin()


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """Sends each request at most once, to where it says: no redirects, no cookies, no proxies, no resending."""

    def __init__(self, connect_timeout_seconds: float, silence_seconds: float, connections_max: int) -> None:
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_create_end.append(_connection_is_there)
        tracing.on_connection_reuseconn.append(_connection_is_there)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections_max, keepalive_timeout=_IDLE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_seconds, sock_read=silence_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[tracing],
            read_bufsize=_READ_BUFFER_BYTES,
            trust_env=False,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises httpx2.ConnectError when the request was never sent; ReadTimeout or ReadError afterwards."""
        sending = _Sending(request.extensions)
        try:
            answer = await self._session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=request.headers.multi_items(),
                data=await request.aread(),
                allow_redirects=False,
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
                trace_request_ctx=sending,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if not sending.began:
                raise httpx2.ConnectError(type(error).__name__, request=request) from error
            raise _after_sending(error, request) from error
        return httpx2.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer, request))

    async def aclose(self) -> None:
        await self._session.close()


class _Body(httpx2.AsyncByteStream):
    """The answer's bytes as they come. Closed before its end, it closes the connection."""

    def __init__(self, answer: aiohttp.ClientResponse, request: httpx2.Request) -> None:
        self._answer = answer
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._answer.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _after_sending(error, self._request) from error

    async def aclose(self) -> None:
        self._answer.close()


def _after_sending(error: BaseException, request: httpx2.Request) -> httpx2.TransportError:
    if isinstance(error, TimeoutError):
        return httpx2.ReadTimeout(type(error).__name__, request=request)
    return httpx2.ReadError(type(error).__name__, request=request)
