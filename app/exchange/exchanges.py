"""What all exchanges share, and the bounds they keep together: how many run, how many run on without their client."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from starlette.responses import Response

from app.errors import GatewayError, Overloaded
from app.exchange.tasks import Tasks
from app.quotas.ledger import Ledger
from app.upstream.client import Upstream

READ_ON_SECONDS = 5.0
"""How long after a forced stop an answer may still come, so that its usage and not the estimate is charged."""

SETTLE_SECONDS_MAX = 5.0
"""How long an exchange that is over waits for its settlement to be written."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long and how many: each number from the setting of the same name."""

    exchange_seconds_max: float
    reservation_seconds: float
    client_stall_seconds: float
    keepalive_seconds: float
    requests_in_flight_max: int
    abandoned_exchanges_max: int


@dataclass(slots=True)
class Exchanges:
    """`error_event(error, closing)` makes the bytes that end a stream for its client, where `closing` completes the
    text of a cut event (None: between events); `error_response` the whole answer that tells of an error. `headers` go
    out with every answer. `show_in_flight` is told how many run whenever that changes."""

    ledger: Ledger
    upstream: Upstream
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    bounds: Bounds
    error_event: Callable[[GatewayError, bytes | None], bytes]
    error_response: Callable[[GatewayError], Response]
    headers: tuple[tuple[bytes, bytes], ...] = ()
    show_in_flight: Callable[[int], None] = lambda _: None
    tasks: Tasks = field(default_factory=Tasks)
    in_flight: int = 0
    abandoned: int = 0
    running: set[Callable[[], None]] = field(default_factory=set)  # what `interrupt` calls, one of each exchange
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self) -> None:
        """Count one exchange, until its `end`. Raises Overloaded when there are as many as there may be."""
        if self.in_flight >= self.bounds.requests_in_flight_max:
            raise Overloaded("The gateway is serving as many requests as it may. Please try again shortly.")
        self.in_flight += 1
        self.show_in_flight(self.in_flight)

    def end(self) -> None:
        self.in_flight -= 1
        self.show_in_flight(self.in_flight)
        if self.in_flight == 0:
            self._idle.set()

    def abandon(self) -> bool:
        """Whether one more answer may be read on without its client; if so, it is counted until `end_abandoned`."""
        if self.abandoned >= self.bounds.abandoned_exchanges_max:
            return False
        self.abandoned += 1
        return True

    def interrupt(self) -> None:
        """A stop waits no longer: every caller whose answer has not begun is told so at once, streams too. What was
        sent is read on for READ_ON_SECONDS, for the sake of its usage."""
        for interrupt_one in list(self.running):
            interrupt_one()

    def end_abandoned(self) -> None:
        self.abandoned -= 1

    async def close(self, seconds: float) -> int:
        """Wait until no exchange runs and every settlement is written; returns how many tasks remain."""
        if self.in_flight:
            self._idle.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._idle.wait()
            except TimeoutError:
                return self.in_flight
        return await self.tasks.drain(seconds)
