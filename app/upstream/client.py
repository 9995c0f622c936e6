"""Asks ZenMux: sends a request once, gives its answer as it comes, or raises what its failure means."""

import asyncio
import random
from collections.abc import Callable

import httpx2

from app.errors import UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from app.settings import Settings
from app.upstream.failures import translate
from app.upstream.headers import (
    LOOKED_AT,
    content_length,
    media_type,
    request_headers,
    response_headers,
    upstream_request_id,
)
from app.upstream.http1.buffers import Chunk
from app.upstream.http1.connection import Connection, Origin
from app.upstream.http1.pool import Bounds
from app.upstream.http1.transport import ON_SENDING, OVER, AnswerStream, OnSending, Transport, origin_of
from app.upstream.unreachable import reason_of

_ERROR_BYTES_MAX = 65_536
_ERROR_SECONDS_MAX = 10
_ROADS_MAX = 16  # there is one for each path, and a handful of paths
_BACKOFF_SECONDS = 0.25  # the longest wait before the first further try; doubled for each one after it
_BACKOFF_SECONDS_MAX = 4.0


class UpstreamResponse:
    """A 2xx answer whose body has not been read. `headers` may go back to the caller as they are. Close it."""

    def __init__(self, response: httpx2.Response) -> None:
        self._stream = _stream(response)
        received = _received(response)
        told = dict(received).get
        self.status = response.status_code
        self.headers = response_headers(received)
        self.request_id = upstream_request_id(received)
        self.content_type = media_type(told("content-type", ""))
        self.content_length = content_length(told("content-length", ""), told("content-encoding", ""))

    async def read(self) -> Chunk | None:
        """The next bytes of the body as they come, None at its end; while none are asked for, ZenMux is made to wait.

        Raises UpstreamTimeout, and UpstreamBroken where the body ends before its framing says so.
        """
        try:
            return await self._stream.read()
        except httpx2.TransportError as error:
            raise _of_answer(_failed(error), self.status, self.request_id) from error

    def close(self) -> None:
        """Ends the connection, if the body has not come whole. May be called more than once."""
        self._stream.close()


class Upstream:
    """The way to ZenMux. Opened and closed with the app, in one event loop; safe for many requests at a time.

    `jitter` gives a number in [0, 1), a new one for each wait before a further try to connect.
    """

    def __init__(self, settings: Settings, jitter: Callable[[], float] = random.random) -> None:
        self._settings = settings
        self._jitter = jitter
        self._roads: dict[tuple[str, str], tuple[httpx2.URL, httpx2.Headers]] = {}
        self._origin: Origin | None = None
        # Called without httpx2's client: that costs a quarter millisecond a request, and keeps cookies.
        self._transport: Transport | None = None

    async def open(self) -> None:
        """Must run in the loop that will use it."""
        self._origin = origin_of(httpx2.URL(self._settings.zenmux_base_url))
        self._transport = Transport(
            Bounds(
                connect_seconds=self._settings.connect_timeout_seconds,
                silence_seconds=self._settings.upstream_silence_seconds,
                connections_max=self._settings.upstream_connections_max,
                socket_buffer_bytes=self._settings.socket_buffer_bytes,
            )
        )

    async def aclose(self) -> None:
        """Closes every connection; answers still being read break. May be called more than once."""
        if self._transport is not None:
            await self._transport.aclose()

    async def lend_waiting(self) -> Connection | None:
        """A connection that waits for a request, where there is one: give it to `ask`, or end it."""
        assert self._transport is not None, "open() first"
        assert self._origin is not None
        return await self._transport.lend_waiting(self._origin)

    async def ask(
        self, path: str, body: bytes, content_type: str, on_sending: OnSending, over: Connection | None = None
    ) -> UpstreamResponse:
        """POST `body` to `path`, which begins with a slash and is below the base URL; `over` a connection that was
        lent, as long as that is usable, or whichever there is.

        `on_sending` is awaited once a connection is there and before the first byte is written; what it raises is
        raised here, and nothing was sent. Raises UpstreamUnreachable (never sent), UpstreamTimeout, UpstreamBroken,
        and for an answer that is not 2xx what failures.translate makes of it.
        """
        request = self._request(path, body, content_type)
        request.extensions = {ON_SENDING: on_sending} if over is None else {ON_SENDING: on_sending, OVER: over}
        response = await self._send(request)
        if 200 <= response.status_code < 300:
            return UpstreamResponse(response)
        try:
            told = await _read_bounded(response)
        finally:
            _stream(response).close()
        # Not kept in a variable: with the frame that the raised error holds, that would be a circle.
        raise _of_answer(
            translate(response.status_code, told, response.headers.get("retry-after")),
            response.status_code,
            upstream_request_id(_received(response)),
        )

    def _request(self, path: str, body: bytes, content_type: str) -> httpx2.Request:
        """Of parts made once, and a stream instead of content: httpx2's other ways to make a request take 90
        microseconds more. The transport tells the body's length."""
        road = self._roads.get((path, content_type))
        if road is None:
            road = self._road(path, content_type)
            if len(self._roads) < _ROADS_MAX:
                self._roads[path, content_type] = road
        url, headers = road
        return httpx2.Request("POST", url, headers=headers, stream=httpx2.ByteStream(body))

    def _road(self, path: str, content_type: str) -> tuple[httpx2.URL, httpx2.Headers]:
        url = httpx2.URL(self._settings.zenmux_base_url + path)
        key = self._settings.zenmux_api_key
        headers = request_headers(key.get_secret_value() if key else None, content_type)
        fields = [(b"host", url.netloc), *((name.encode(), value.encode()) for name, value in headers.items())]
        return url, httpx2.Headers(fields)

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        """Tries again only where no connection was made."""
        assert self._transport is not None, "open() first"
        tries = 0
        while True:
            try:
                return await self._transport.handle_async_request(request)
            except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
                if tries == self._settings.connect_retries:
                    raise _unreachable(error) from error
            except httpx2.LocalProtocolError as error:
                raise _unreachable(error) from error
            except httpx2.TransportError as error:
                raise _failed(error) from error
            await asyncio.sleep(self._jitter() * min(_BACKOFF_SECONDS * 2**tries, _BACKOFF_SECONDS_MAX))
            tries += 1


async def _read_bounded(response: httpx2.Response) -> bytes:
    """The beginning of an error's body, as far as it comes: the status alone tells enough."""
    body = bytearray()
    try:
        async with asyncio.timeout(_ERROR_SECONDS_MAX):
            async for chunk in _stream(response):
                body += chunk[: _ERROR_BYTES_MAX - len(body)]
                if len(body) == _ERROR_BYTES_MAX:
                    break
    except (httpx2.TransportError, TimeoutError):
        pass
    return bytes(body)


def _received(response: httpx2.Response) -> list[tuple[str, str]]:
    """The headers somebody here looks at, in lower case. Decoding all of them, as httpx2 would, costs more than the
    rest of an UpstreamResponse."""
    named = ((name.lower().decode("latin-1"), value) for name, value in response.headers.raw)
    return [(name, value.decode("latin-1")) for name, value in named if name in LOOKED_AT]


def _of_answer(error: UpstreamError, status: int, request_id: str | None) -> UpstreamError:
    """The error, which tells of what answer it is."""
    if error.request_id is None:
        error.request_id, error.answered_status = request_id, status
    return error


def _stream(response: httpx2.Response) -> AnswerStream:
    """The transport's own stream, without the bookkeeping that httpx2 adds to every chunk."""
    assert isinstance(response.stream, AnswerStream)
    return response.stream


def _unreachable(cause: Exception) -> UpstreamError:
    error = UpstreamUnreachable("ZenMux cannot be reached. Please try again shortly.", kind="unreachable")
    error.reason = reason_of(cause)
    return error


def _failed(error: httpx2.TransportError) -> UpstreamError:
    if isinstance(error, httpx2.TimeoutException):
        return UpstreamTimeout("ZenMux did not answer in time.", kind="silence")
    return UpstreamBroken("The connection to ZenMux broke before its answer was whole.", kind="connection_broken")
