"""What all exchanges share, and the bounds they keep together: how many run, how many run on without their client."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from starlette.responses import Response

from app.errors import GatewayError, Overloaded
from app.exchange.tasks import Tasks
from app.quotas.ledger.ledger import Ledger
from app.upstream.zenmux import Upstream

READ_ON_SECONDS = 5.0
"""How long after a forced stop an answer may still come, so that its usage and not the estimate is charged."""

SETTLE_SECONDS_MAX = 5.0
"""How long an exchange that is over waits for its settlement to be written."""
_TURNED_AWAY_SECONDS = 15.0  # longer than the Retry-After of an overloaded gateway


@dataclass(frozen=True, slots=True)
class ExchangeBounds:
    """How long and how many: each number from the setting of the same name."""

    exchange_seconds_max: float
    reservation_seconds: float
    client_stall_seconds: float
    keepalive_seconds: float
    requests_in_flight_max: int
    user_in_flight_percent: int
    abandoned_exchanges_max: int
    usage_holds_max: int


@dataclass(slots=True)
class Exchanges:
    """`error_event(error, closing)` makes the bytes that end a stream for its client, where `closing(field)` ends an
    event that was cut, with a last field if there is a place for one; `error_response` the whole answer that tells of
    an error. `headers` go out with every answer. `show_in_flight` is told how many run whenever that changes."""

    ledger: Ledger
    upstream: Upstream
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    bounds: ExchangeBounds
    error_event: Callable[[GatewayError, Callable[[bytes], bytes]], bytes]
    error_response: Callable[[GatewayError], Response]
    headers: tuple[tuple[bytes, bytes], ...] = ()
    show_in_flight: Callable[[int], None] = lambda _: None
    tasks: Tasks = field(default_factory=Tasks)
    in_flight: int = 0
    abandoned: int = 0
    running: set[Callable[[], None]] = field(default_factory=set)  # what `interrupt` calls, one of each exchange
    _in_flight_of: dict[str, int] = field(default_factory=dict)
    _turned_away: tuple[str, float] = ("", 0.0)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, user_id: str) -> None:
        """Count one exchange of this user, until its `end`. Raises Overloaded when there are as many as there may be,
        or when the user holds a full share while others run requests, or were turned away a moment ago."""
        bounds, mine = self.bounds, self._in_flight_of.get(user_id, 0)
        share = max(1, bounds.requests_in_flight_max * bounds.user_in_flight_percent // 100)
        if mine >= share and (self.in_flight > mine or self._others_wait(user_id)):
            raise Overloaded(
                f"You have {mine} requests running, and others use this gateway too. Try again when one has ended."
            )
        if self.in_flight >= bounds.requests_in_flight_max:
            self._turned_away = (user_id, self.monotonic() + _TURNED_AWAY_SECONDS)
            raise Overloaded("The gateway is serving as many requests as it may. Please try again shortly.")
        if user_id == self._turned_away[0]:
            self._turned_away = ("", 0.0)
        self._in_flight_of[user_id] = mine + 1
        self.in_flight += 1
        self.show_in_flight(self.in_flight)

    def _others_wait(self, user_id: str) -> bool:
        """Whether a place that gets free is to be left to somebody else, who was told to try again."""
        other, until = self._turned_away
        return other not in ("", user_id) and self.monotonic() < until

    def end(self, user_id: str) -> None:
        self._in_flight_of[user_id] -= 1
        if self._in_flight_of[user_id] == 0:
            del self._in_flight_of[user_id]
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
