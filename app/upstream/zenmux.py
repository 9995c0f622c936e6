"""Asks ZenMux: sends a request once, and passes its answer on as it comes, or raises what its failure means.

Uses HTTPX's AsyncBaseTransport, from the network, and looks into no transport.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime

import httpx2

from app.errors import UpstreamError, UpstreamUnreachable
from app.settings.settings import Settings
from app.upstream.failures import translate
from app.upstream.headers import (
    LOOKED_AT,
    media_type,
    request_headers,
    upstream_request_id,
)
from app.upstream.http1.pool import PoolBounds
from app.upstream.network import Network
from app.upstream.response import UpstreamResponse, failed, of_answer
from app.upstream.route import Account, Route, Routes
from app.upstream.sending import FAILURES, OnSending, Sending, Upload, UploadStream
from app.upstream.unreachable import reason_of
from app.upstream.wire.chunks import Chunks, chunks_of

_ERROR_BYTES_MAX = 65_536
_ERROR_SECONDS_MAX = 10
_TARGETS_MAX = 16  # one per path, and there are few paths
_EVENT_STREAM = "text/event-stream"
_BACKOFF_SECONDS = 0.25  # the longest wait before the second try; doubled for each further one
_BACKOFF_SECONDS_MAX = 4.0
# Longer than each transport's own bound, so that its error comes first. It says more.
_GRACE_SECONDS = 0.25


class Upstream:
    """The connection to ZenMux. Opened and closed with the app, in one event loop. Safe for many requests at a time.

    `jitter` gives a number in [0, 1), a new one for each wait before another try to connect.
    """

    def __init__(
        self, settings: Settings, clock: Callable[[], datetime], jitter: Callable[[], float] = random.random
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._jitter = jitter
        self._account = Account("default", settings.zenmux_api_key)
        self._base_url = httpx2.URL(settings.zenmux_base_url)
        self._targets: dict[tuple[str, str, str], tuple[httpx2.URL, httpx2.Headers]] = {}
        seconds, silence = settings.connect_timeout_seconds, settings.upstream_silence_seconds
        self._timeouts = httpx2.Timeout(connect=seconds, pool=seconds, read=silence, write=silence).as_dict()
        # Called without httpx2's client, which costs a quarter of a millisecond per request and keeps cookies.
        self._transport: httpx2.AsyncBaseTransport | None = None
        self.routes: Routes  # once it is open
        self.unreachable_since: datetime | None = None  # since when every request has failed to connect

    async def open(self) -> None:
        """Call it in the loop that will use it. Raises ConfigurationError for a network setting that cannot work."""
        settings = self._settings
        self._transport = Network(settings).transport(
            self._base_url,
            PoolBounds(
                connect_seconds=settings.connect_timeout_seconds,
                silence_seconds=settings.upstream_silence_seconds,
                connections_max=settings.upstream_connections_max,
                socket_buffer_bytes=settings.socket_buffer_bytes,
            ),
        )
        self.routes = Routes(self._account, self._transport, self._base_url)

    async def aclose(self) -> None:
        """Closes every connection. Answers that are still being read break. May be called more than once."""
        if self._transport is not None:
            await self._transport.aclose()

    async def ask(
        self, route: Route, path: str, body: bytes | Upload, content_type: str, on_sending: OnSending
    ) -> UpstreamResponse:
        """POSTs `body` to `path`, which begins with a slash and is relative to the base URL. The route has the answer.

        `on_sending` is awaited once there is a connection, before the first byte is written. What it raises is raised
        here, and nothing was sent. Raises UpstreamUnreachable (never sent), UpstreamTimeout, UpstreamBroken, and for an
        answer that is not 2xx the error that failures.translate makes.
        """
        try:
            request = self._request(route.account, path, body, content_type)
        except ValueError as error:
            raise _unreachable(error) from error
        response = await self._send(route, request, on_sending)
        status, received = response.status_code, _received(response)
        try:
            chunks = _chunks(response, received)
        except httpx2.TransportError as error:
            await response.aclose()
            raise of_answer(failed(error), status, upstream_request_id(received)) from error
        if 200 <= status < 300:
            route.answer = UpstreamResponse(status, received, chunks)
            return route.answer
        try:
            said = await _read_bounded(chunks)
        finally:
            await chunks.aclose()
        # Not kept in a variable: the raised error holds this frame, so that would be a reference cycle.
        raise of_answer(
            translate(status, said, response.headers.get("retry-after")), status, upstream_request_id(received)
        )

    def _request(self, account: Account, path: str, body: bytes | Upload, content_type: str) -> httpx2.Request:
        """Built from parts made once, and with a stream as content: httpx2's other ways to make a request cost 90
        microseconds more. What differs between requests comes last.
        """
        target = self._targets.get((account.name, path, content_type))
        if target is None:
            target = self._target(account, path, content_type)
            if len(self._targets) < _TARGETS_MAX:
                self._targets[account.name, path, content_type] = target
        url, headers = target
        length = len(body) if isinstance(body, bytes) else body.length
        stream = httpx2.ByteStream(body) if isinstance(body, bytes) else UploadStream(body)
        request = httpx2.Request("POST", url, headers=headers, stream=stream)  # with a copy of the headers
        if length is None:
            request.headers["transfer-encoding"] = "chunked"
        else:
            request.headers["content-length"] = str(length)
        return request

    def _target(self, account: Account, path: str, content_type: str) -> tuple[httpx2.URL, httpx2.Headers]:
        url = httpx2.URL(self._settings.zenmux_base_url + path)
        headers = request_headers(account.key.get_secret_value() if account.key else None, content_type)
        fields = [(b"host", url.netloc), *((name.encode(), value.encode()) for name, value in headers.items())]
        return url, httpx2.Headers(fields)

    async def _send(self, route: Route, request: httpx2.Request, on_sending: OnSending) -> httpx2.Response:
        """Tries again only if no byte was sent."""
        tries = 0
        while True:
            deadline = None
            if route.waiting is None:
                deadline = asyncio.timeout(self._settings.connect_timeout_seconds + _GRACE_SECONDS)
            sending = Sending(on_sending, deadline)
            request.extensions = {"trace": sending, "timeout": self._timeouts}
            try:
                async with deadline or nullcontext():
                    response = await route.take().handle_async_request(request)
            except FAILURES as error:
                if sending.is_refused:
                    raise
                if not sending.proves_nothing_sent(error):
                    self.unreachable_since = None
                    raise failed(error) from error
                if isinstance(error, httpx2.LocalProtocolError) or tries == self._settings.connect_retries:
                    self._note_unreachable(error)
                    raise _unreachable(error) from error
            else:
                self.unreachable_since = None
                return response
            await asyncio.sleep(self._jitter() * min(_BACKOFF_SECONDS * 2**tries, _BACKOFF_SECONDS_MAX))
            tries += 1

    def _note_unreachable(self, error: Exception) -> None:
        """A try without a free connection, or with a header that cannot be sent, says nothing about ZenMux."""
        if not isinstance(error, httpx2.PoolTimeout | httpx2.LocalProtocolError):
            self.unreachable_since = self.unreachable_since or self._clock()


def _chunks(response: httpx2.Response, received: list[tuple[str, str]]) -> Chunks:
    encoding = ",".join(value for name, value in received if name == "content-encoding")
    is_plain = encoding.strip().lower() in ("", "identity")
    if not is_plain and media_type(dict(received).get("content-type", "")) == _EVENT_STREAM:
        # A few compressed bytes could become millions of events.
        raise httpx2.RemoteProtocolError("An event stream must not be compressed.")
    return chunks_of(response.stream, encoding)


async def _read_bounded(chunks: Chunks) -> bytes:
    """The beginning of an error's body, as far as it comes. The status alone says enough."""
    body = bytearray()
    try:
        async with asyncio.timeout(_ERROR_SECONDS_MAX):
            while len(body) < _ERROR_BYTES_MAX and (chunk := await chunks.read()) is not None:
                body += chunk.view[: _ERROR_BYTES_MAX - len(body)]
    except FAILURES:  # a timeout is an OSError
        pass
    return bytes(body)


def _received(response: httpx2.Response) -> list[tuple[str, str]]:
    """The headers that are used here, in lower case. Decoding all of them, as httpx2 would, costs more than the rest of
    an UpstreamResponse.
    """
    named = ((name.lower().decode("latin-1"), value) for name, value in response.headers.raw)
    return [(name, value.decode("latin-1")) for name, value in named if name in LOOKED_AT]


def _unreachable(cause: Exception) -> UpstreamError:
    error = UpstreamUnreachable("ZenMux cannot be reached. Please try again shortly.", kind="unreachable")
    error.reason = reason_of(cause)
    return error
