"""When the first byte of a request is about to be sent, by HTTPX's `trace` extension, and what a failure proves.

It works with every transport.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from app.upstream.http1.sending import of_length
from app.upstream.http1.transport import FIRST_BYTE
from app.upstream.wire.sockets import keep_alive

OnSending = Callable[[], Awaitable[None]]
# A client asks a proxy for a tunnel with a separate request, which emits the same events.
_TUNNEL = ("CONNECT", b"CONNECT")
# What HTTPX's transports raise, and what stock httpx2 does not translate: a TLS failure during an answer is an OSError,
# a host that DNS cannot express is a ValueError.
FAILURES = (httpx2.TransportError, OSError, ValueError)
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that is not in memory. `chunks` is read once for each account that is asked, and only while
    ZenMux accepts it. `length` None: unknown."""

    chunks: AsyncIterable[bytes]
    length: int | None = None


@dataclass(frozen=True, slots=True)
class UpstreamBody:
    """The body of one request. `is_kept`: it can be sent again, to another account."""

    content: bytes | Upload
    content_type: str
    is_kept: bool = True


class UploadStream(httpx2.AsyncByteStream):
    """An Upload in the form that HTTPX takes."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises LocalProtocolError if the upload is longer or shorter than its `length`."""
        chunks, length = self._upload.chunks, self._upload.length
        return aiter(chunks) if length is None else of_length(chunks, length)


class Sending:
    """The `trace` of one try. Awaits `on_sending` before the first byte is written, and remembers what happened.

    `deadline` bounds the time until there is a connection, a proxy's part included. It ends at `on_sending`. It is None
    if a connection exists already. `on_connected` is called once there is a connection.
    """

    def __init__(
        self,
        on_sending: OnSending,
        deadline: asyncio.Timeout | None,
        on_connected: Callable[[], None] | None = None,
    ) -> None:
        self._on_sending = on_sending
        self._on_connected = on_connected
        self._deadline = deadline
        self._is_announced = False
        self.is_refused = False  # on_sending raised; its error is raised to the caller

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event == FIRST_BYTE:
            if info["request"].method in _TUNNEL:
                return
            if self._deadline is not None:
                self._deadline.reschedule(None)
            if self._on_connected is not None:
                self._on_connected()
            self.is_refused = True
            await self._on_sending()
            self.is_refused, self._is_announced = False, True
        elif event.endswith("connect_tcp.complete"):
            keep_alive(info["return_value"].get_extra_info("socket"))

    def proves_nothing_sent(self, error: Exception) -> bool:
        """Whether a failure of this try proves that no byte of the request was sent."""
        return not self._is_announced or isinstance(error, _NEVER_SENT)
