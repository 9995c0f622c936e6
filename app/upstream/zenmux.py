"""Asks ZenMux: sends a request once, and passes its answer on as it comes, or raises what its failure means.

Uses HTTPX's AsyncBaseTransport, from the network, and looks into no transport.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import datetime
from functools import partial
from time import monotonic as monotonic_seconds

import httpx2

from app.errors import UpstreamError, UpstreamUnreachable
from app.settings.accounts import ONLY_ACCOUNT, AccountOrder, AccountSpec, check_accounts
from app.settings.settings import Settings
from app.upstream.accounts.accounts import Account, Accounts
from app.upstream.accounts.states import Why
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
from app.upstream.route import Route, Routes
from app.upstream.sending import FAILURES, OnSending, Sending, Upload, UploadStream
from app.upstream.unreachable import reason_of
from app.upstream.wire.chunks import Chunks, chunks_of

_ERROR_BYTES_MAX = 65_536
_ERROR_SECONDS_MAX = 10
_TARGETS_MAX = 16  # one per path, and there are few paths
_EVENT_STREAM = "text/event-stream"
_FROM_AN_ACCOUNT_IN_ORDER = ("moderation", "invalid")  # refusals of the request itself
_BACKOFF_SECONDS = 0.25  # the longest wait before the second try; doubled for each further one
_BACKOFF_SECONDS_MAX = 4.0
# Longer than each transport's own bound, so that its error comes first. It says more.
_GRACE_SECONDS = 0.25


class Upstream:
    """The connection to ZenMux. Opened and closed with the app, in one event loop. Safe for many requests at a time.

    `jitter` gives a number in [0, 1), a new one for each wait before another try to connect. `monotonic` is a clock in
    seconds. `specs` are the accounts, where the settings do not name them.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], datetime],
        jitter: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = monotonic_seconds,
        specs: Sequence[AccountSpec] = (),
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._jitter = jitter
        # Without a key requests are still sent: ZenMux says what is wrong, and `serve` does not start so.
        specs = specs or settings.accounts or (AccountSpec(ONLY_ACCOUNT, None),)
        self.accounts = Accounts(specs, settings.account_order, settings.zenmux_base_url, monotonic, random.random)
        seconds, silence = settings.connect_timeout_seconds, settings.upstream_silence_seconds
        self._timeouts = httpx2.Timeout(connect=seconds, pool=seconds, read=silence, write=silence).as_dict()
        network = Network(settings)
        bounds = PoolBounds(
            connect_seconds=settings.connect_timeout_seconds,
            silence_seconds=settings.upstream_silence_seconds,
            connections_max=settings.capacity.upstream_connections_max,
            socket_buffer_bytes=settings.socket_buffer_bytes,
        )
        # Called without httpx2's client, which costs a quarter of a millisecond per request and keeps cookies.
        self.routes = Routes(self.accounts, lambda url: network.transport(url, bounds))
        self.unreachable_since: datetime | None = None  # since when every request has failed to connect

    async def open(self) -> None:
        """Call it in the loop that will use it. Raises ConfigurationError for a network setting that cannot work."""
        self.routes.prepare(account.origin for account in self.accounts.all)

    def replace_accounts(self, specs: Sequence[AccountSpec], order: AccountOrder) -> None:
        """Takes these accounts from now on. Requests that run finish with the account and the key they have. Those
        to a server that no account has any more close its connections when they have ended.

        Raises ConfigurationError for a server to which no way can work, and ValueError for accounts that do not go
        together: then nothing has changed.
        """
        checked = check_accounts(specs)
        origins = {spec.base_url or self._settings.zenmux_base_url for spec in checked}
        self.routes.prepare(origins)
        self.accounts.replace(checked, order)
        self.routes.keep_only(origins)

    async def aclose(self) -> None:
        """Closes every connection. Answers that are still being read break. May be called more than once."""
        await self.routes.aclose()

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
            self.accounts.note_answered(route.account, route.chosen_at)
            route.answer = UpstreamResponse(status, received, chunks)
            return route.answer
        try:
            said = await _read_bounded(chunks)
        finally:
            await chunks.aclose()
        # Not kept in a variable: the raised error holds this frame, so that would be a reference cycle.
        raise of_answer(
            self._noted(route, translate(status, said, response.headers.get("retry-after"))),
            status,
            upstream_request_id(received),
        )

    def _noted(self, route: Route, error: UpstreamError) -> UpstreamError:
        """The error, once the account it says something about has been noted."""
        if error.account_why is not None:
            why, seconds = Why(error.account_why), error.account_rest_seconds
            self.accounts.note_refused(route.account, why, route.chosen_at, seconds)
        elif error.kind in _FROM_AN_ACCOUNT_IN_ORDER:
            self.accounts.note_answered(route.account, route.chosen_at)
        return error

    def _request(self, account: Account, path: str, body: bytes | Upload, content_type: str) -> httpx2.Request:
        """Built from parts made once, and with a stream as content: httpx2's other ways to make a request cost 90
        microseconds more. What differs between requests comes last.
        """
        target = account.targets.get((path, content_type))
        if target is None:
            target = _target(account, path, content_type)
            if len(account.targets) < _TARGETS_MAX:
                account.targets[path, content_type] = target
        url, headers = target
        length = len(body) if isinstance(body, bytes) else body.length
        stream = httpx2.ByteStream(body) if isinstance(body, bytes) else UploadStream(body)
        request = httpx2.Request("POST", url, headers=headers, stream=stream)  # with a copy of the headers
        if length is None:
            request.headers["transfer-encoding"] = "chunked"
        else:
            request.headers["content-length"] = str(length)
        return request

    async def _send(self, route: Route, request: httpx2.Request, on_sending: OnSending) -> httpx2.Response:
        """Tries again only if no byte was sent."""
        tries, accounts, account = 0, self.accounts, route.account
        while True:
            deadline = None
            if route.waiting is None:
                deadline = asyncio.timeout(self._settings.connect_timeout_seconds + _GRACE_SECONDS)
            on_connected = None
            if accounts.awaits_connection(account):
                on_connected = partial(accounts.note_connected, account, route.chosen_at)
            sending = Sending(on_sending, deadline, on_connected)
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
                is_last = isinstance(error, httpx2.LocalProtocolError) or tries == self._settings.connect_retries
                # A try without a free connection, or with a header that cannot be sent, says nothing about ZenMux.
                if not isinstance(error, httpx2.PoolTimeout | httpx2.LocalProtocolError):
                    accounts.note_unreachable(account, route.chosen_at)
                    is_last = is_last or not accounts.is_worth_trying(account)
                    if is_last:
                        self.unreachable_since = self.unreachable_since or self._clock()
                if is_last:
                    raise _unreachable(error) from error
            else:
                self.unreachable_since = None
                return response
            await asyncio.sleep(self._jitter() * min(_BACKOFF_SECONDS * 2**tries, _BACKOFF_SECONDS_MAX))
            tries += 1


def _target(account: Account, path: str, content_type: str) -> tuple[httpx2.URL, httpx2.Headers]:
    url, key = httpx2.URL(account.origin + path), account.spec.key
    headers = request_headers(key.get_secret_value() if key else None, content_type)
    fields = [(b"host", url.netloc), *((name.encode(), value.encode()) for name, value in headers.items())]
    return url, httpx2.Headers(fields)


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
    return [
        (lower.decode(), value.decode("latin-1"))
        for name, value in response.headers.raw
        if (lower := name.lower()) in LOOKED_AT
    ]


def _unreachable(cause: Exception) -> UpstreamError:
    error = UpstreamUnreachable("ZenMux cannot be reached. Please try again shortly.", kind="unreachable")
    error.reason = reason_of(cause)
    return error
