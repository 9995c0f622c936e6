"""Stands where a socket stands for other requests: a job's answer goes to a file."""

import asyncio
from collections.abc import Callable

from app.errors import FilesUnavailable, GatewayError
from app.exchange.downstream import EarlyHead, EventEnd
from app.files.store.writer import FileWriter
from app.telemetry.event import RequestEvent


class JobDownstream:
    """A Downstream. `admitted` is done once the request is reserved. `loss` is set where the disk failed: the answer is
    read to its end all the same, for its usage."""

    def __init__(self, file: FileWriter, event: RequestEvent, monotonic: Callable[[], float]) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.event_end: EventEnd | None = None
        self.left = False
        self.started = False
        self.is_whole = False
        self.error: GatewayError | None = None
        self.loss: FilesUnavailable | None = None
        self.admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.admitted.add_done_callback(_look_at)  # whoever submitted it may be gone
        self._file = file
        self._event = event
        self._monotonic = monotonic
        self._on_leave: Callable[[], None] | None = None

    async def start(self, status: int, content_length: int | None) -> None:  # noqa: ARG002 - a file has neither
        self.started = True

    async def write(self, chunk: bytes | memoryview, *, is_whole: bool = False) -> None:  # noqa: ARG002 - see `finish`
        event = self._event
        if event.first_byte_at is None:
            event.first_byte_at = self._monotonic()
        event.sent_bytes += len(chunk)
        if self.loss is None:
            try:
                await self._file.write(chunk)
            except FilesUnavailable as error:
                self.loss = error

    async def finish(self) -> None:
        self.is_whole = True

    async def fail(self, error: GatewayError) -> None:
        if self.started:
            self.error = error

    async def end_early(self, error: GatewayError) -> None:
        self.error = error

    def watch(self, on_leave: Callable[[], None]) -> None:
        self._on_leave = on_leave
        if not self.admitted.done():
            self.admitted.set_result(None)

    def cancel(self) -> None:
        """As a caller who leaves: what is not sent yet will not be sent."""
        notify, self._on_leave = self._on_leave, None
        if notify is not None:
            notify()

    def begin_early(self, head: EarlyHead) -> None:
        """Nobody waits for the head of a file."""

    def keep_alive(self, seconds: float, at_boundary: Callable[[], bool]) -> None:
        """Nobody waits for the next byte of a file."""

    def close(self) -> None:
        self._on_leave = None


def _look_at(future: "asyncio.Future[None]") -> None:
    if not future.cancelled():
        future.exception()
