"""Stands where a socket stands for other requests. It drops the answer, which was kept before it comes here."""

from collections.abc import Callable

from app.errors import GatewayError
from app.exchange.downstream import EarlyHead, EventEnd
from app.telemetry.event import RequestEvent


class JobDownstream:
    """A Downstream to which everything is delivered: nobody waits for it. `on_admitted` is called once, when the
    request has its reservation."""

    def __init__(self, event: RequestEvent, monotonic: Callable[[], float], on_admitted: Callable[[], None]) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.event_end: EventEnd | None = None
        self.left = True  # nobody has the answer but who keeps it
        self.started = False
        self.delivered = True
        self._event = event
        self._monotonic = monotonic
        self._on_admitted = on_admitted
        self._on_leave: Callable[[], None] | None = None

    async def start(self, status: int, content_length: int | None) -> None:  # noqa: ARG002 - both are dropped
        self.started = True

    async def write(self, chunk: bytes | memoryview, *, is_whole: bool = False) -> None:  # noqa: ARG002 - see `finish`
        event = self._event
        if event.first_byte_at is None:
            event.first_byte_at = self._monotonic()
        event.sent_bytes += len(chunk)

    async def finish(self) -> None:
        """It is kept."""

    async def fail(self, error: GatewayError) -> None:
        """Who keeps it knows the error, too."""

    async def end_early(self, error: GatewayError) -> None:
        """Nobody waits, so what still comes is kept."""

    def watch(self, on_leave: Callable[[], None]) -> None:
        self._on_leave = on_leave
        self._on_admitted()

    def cancel(self) -> None:
        """As a caller who leaves: what is not sent yet will not be sent."""
        notify, self._on_leave = self._on_leave, None
        if notify is not None:
            notify()

    def begin_early(self, head: EarlyHead) -> None:
        """Nobody waits for the head."""

    def keep_alive(self, seconds: float, at_boundary: Callable[[], bool]) -> None:
        """Nobody waits for the next byte."""

    def close(self) -> None:
        self._on_leave = None
        self._on_admitted = _nothing  # break the cycle with what it belongs to


def _nothing() -> None:
    """It is admitted once."""
