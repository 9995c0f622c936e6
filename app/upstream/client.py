"""Asks ZenMux: sends a request once, gives its answer as it comes, or raises what its failure means."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2

from app.errors import UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from app.settings import Settings
from app.upstream.failures import translate
from app.upstream.headers import request_headers, response_headers, upstream_request_id
from app.upstream.transport import ON_SENDING, AiohttpTransport

_ERROR_BYTES_MAX = 65_536
_RETRY_SECONDS = 0.2  # before the first retry of a connection; doubled for each further one
OnSending = Callable[[], Awaitable[None]]


class UpstreamResponse:
    """A 2xx answer whose body has not been read. `headers` may go back to the caller as they are."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        received = response.headers.multi_items()
        self.status = response.status_code
        self.headers = response_headers(received)
        self.request_id = upstream_request_id(received)
        self.content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        length = response.headers.get("content-length", "")
        # A body that came compressed is passed on as it was before that.
        is_plain = response.headers.get("content-encoding", "identity") == "identity"
        self.content_length = int(length) if length.isdecimal() and is_plain else None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises UpstreamTimeout, UpstreamBroken."""
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
        except httpx2.TransportError as error:
            raise _failed(error) from error


class Upstream:
    """The way to ZenMux. Opened and closed with the app; bounded connections, no retries but of connecting."""

    def __init__(self, settings: Settings, jitter: Callable[[], float] = random.random) -> None:
        self._settings = settings
        self._jitter = jitter
        self._client: httpx2.AsyncClient | None = None

    async def open(self) -> None:
        """Must run in the loop that will use it."""
        settings = self._settings
        transport = AiohttpTransport(
            settings.connect_timeout_seconds, settings.upstream_silence_seconds, settings.upstream_connections_max
        )
        self._client = httpx2.AsyncClient(transport=transport, trust_env=False, timeout=None)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    @asynccontextmanager
    async def request(
        self, path: str, body: bytes, content_type: str, on_sending: OnSending
    ) -> AsyncIterator[UpstreamResponse]:
        """POST `body` to `path`, which begins with a slash and is below the base URL.

        `on_sending` is awaited once a connection is there and before the first byte is written; what it raises is
        raised here, and nothing was sent. Raises UpstreamUnreachable (never sent), UpstreamTimeout, UpstreamBroken,
        and for an answer that is not 2xx what failures.translate makes of it.
        """
        response = await self._send(path, body, content_type, on_sending)
        try:
            if not 200 <= response.status_code < 300:
                told = await _read_bounded(response)
                raise translate(response.status_code, told, response.headers.get("retry-after"))
            yield UpstreamResponse(response)
        except UpstreamError as error:
            if error.request_id is None:
                error.request_id = upstream_request_id(response.headers.multi_items())
                error.answered_status = response.status_code
            raise
        finally:
            await response.aclose()

    async def _send(self, path: str, body: bytes, content_type: str, on_sending: OnSending) -> httpx2.Response:
        assert self._client is not None, "open() first"
        key = self._settings.zenmux_api_key
        # Built without the client, which would add headers of its own.
        request = httpx2.Request(
            "POST",
            self._settings.zenmux_base_url + path,
            content=body,
            headers=request_headers(key.get_secret_value() if key else "", content_type),
            extensions={ON_SENDING: on_sending},
        )
        for attempt in range(self._settings.connect_retries + 1):
            if attempt:
                await asyncio.sleep(_RETRY_SECONDS * 2 ** (attempt - 1) * (0.5 + self._jitter() / 2))
            try:
                return await self._client.send(request, stream=True)
            except httpx2.ConnectError as error:
                unreachable = error
            except httpx2.TransportError as error:
                raise _failed(error) from error
        raise UpstreamUnreachable(
            "ZenMux cannot be reached. Please try again shortly.", kind="unreachable"
        ) from unreachable


async def _read_bounded(response: httpx2.Response) -> bytes:
    """The beginning of an error's body, as far as it comes."""
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) >= _ERROR_BYTES_MAX:
                break
    except httpx2.TransportError:
        pass
    return bytes(body[:_ERROR_BYTES_MAX])


def _failed(error: httpx2.TransportError) -> UpstreamError:
    if isinstance(error, httpx2.TimeoutException):
        return UpstreamTimeout("ZenMux did not answer in time.", kind="silence")
    return UpstreamBroken("The connection to ZenMux broke before its answer was whole.", kind="connection_broken")
