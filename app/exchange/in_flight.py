"""What all exchanges share, and their common bounds: how many run, and how many run on without their caller."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from app.errors import Overloaded
from app.exchange.asgi import ErrorEvent, ErrorResponse
from app.exchange.hosting import Hosting
from app.exchange.tasks import Tasks
from app.quotas.ledger.ledger import Ledger
from app.telemetry.event import RequestEvent
from app.upstream.zenmux import Upstream

READ_ON_SECONDS = 5.0
"""How long an answer may still arrive after a forced stop, so that its usage is charged and not the estimate."""

SETTLE_SECONDS_MAX = 5.0
"""How long an ended exchange waits for its settlement to be written."""
_TURNED_AWAY_SECONDS = 15.0  # longer than the Retry-After of an overloaded gateway


@dataclass(frozen=True, slots=True)
class ExchangeBounds:
    """Times and numbers, each from the setting of the same name."""

    exchange_seconds_max: float
    reservation_seconds: float
    client_stall_seconds: float
    keepalive_seconds: float
    early_head_seconds: float
    requests_in_flight_max: int
    user_in_flight_percent: int
    abandoned_exchanges_max: int
    usage_holds_max: int


@dataclass(slots=True)
class Exchanges:
    """What exchanges share. `error_event` and `error_response` are as for AsgiDownstream. `headers` are added to every
    answer. `hosting` keeps images whose callers want links. `show_in_flight` is called with the number of running
    exchanges whenever it changes.
    """

    ledger: Ledger
    upstream: Upstream
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    bounds: ExchangeBounds
    error_event: ErrorEvent
    error_response: ErrorResponse
    hosting: Hosting | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    show_in_flight: Callable[[int], None] = lambda _: None
    tasks: Tasks = field(default_factory=Tasks)
    in_flight: int = 0
    abandoned: int = 0
    running: set[Callable[[], None]] = field(default_factory=set)  # `interrupt` calls one of these per exchange
    events: dict[str, RequestEvent] = field(default_factory=dict)  # of the running exchanges, by their ids
    _in_flight_of: dict[str, int] = field(default_factory=dict)
    _turned_away: tuple[str, float] = ("", 0.0)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, user_id: str) -> None:
        """Counts one exchange of this user, until its `end`. Raises Overloaded if the maximum runs already, or if the
        user holds a full share while other users run requests, or were refused a moment ago.
        """
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
        """Whether the next free slot is left to another user, who was refused a moment ago."""
        other, until = self._turned_away
        return other not in ("", user_id) and self.monotonic() < until

    def end(self, user_id: str) -> None:
        """The end of one exchange that `begin` counted."""
        self._in_flight_of[user_id] -= 1
        if self._in_flight_of[user_id] == 0:
            del self._in_flight_of[user_id]
        self.in_flight -= 1
        self.show_in_flight(self.in_flight)
        if self.in_flight == 0:
            self._idle.set()

    def abandon(self) -> bool:
        """Whether one more answer may be read without its client. If so, it is counted until `end_abandoned`."""
        if self.abandoned >= self.bounds.abandoned_exchanges_max:
            return False
        self.abandoned += 1
        return True

    def interrupt(self) -> None:
        """Ends the waiting at a stop: every caller whose answer has not begun gets an error at once, streams too. What
        was sent is read for READ_ON_SECONDS more, for its usage.
        """
        for interrupt_one in list(self.running):
            interrupt_one()

    def progress(self) -> dict[str, tuple[str, int]]:
        """How far each running exchange is: its phase, and the bytes its caller was sent."""
        return {id_: (_phase(event), event.sent_bytes) for id_, event in self.events.items()}

    def end_abandoned(self) -> None:
        """The end of one answer that `abandon` counted."""
        self.abandoned -= 1

    async def close(self, seconds: float) -> int:
        """Waits until no exchange runs and every settlement is written. Returns how many tasks remain."""
        if self.in_flight:
            self._idle.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._idle.wait()
            except TimeoutError:
                return self.in_flight
        return await self.tasks.drain(seconds)


def _phase(event: RequestEvent) -> str:
    if event.first_byte_at is not None:
        return "receiving"
    return "reserving" if event.dispatched_at is None else "waiting"


class Place:
    """One exchange's place among those that run: use it as a context. Entering it raises what `begin` does.

    `interrupt` is called when a stop does not wait any longer. `event` shows how far it is.
    """

    def __init__(
        self, exchanges: Exchanges, user_id: str, interrupt: Callable[[], None], event: RequestEvent | None = None
    ) -> None:
        self._exchanges = exchanges
        self._event = event
        self._user_id = user_id
        self._interrupt: Callable[[], None] | None = interrupt
        self._is_abandoned = False

    def __enter__(self) -> Self:
        self._exchanges.begin(self._user_id)
        if self._interrupt is not None:
            self._exchanges.running.add(self._interrupt)
        if self._event is not None:
            self._exchanges.events[self._event.request_id] = self._event
        return self

    def abandon(self) -> bool:
        """Whether its answer may be read on without its caller. If so, it counts as such until the end."""
        self._is_abandoned = self._is_abandoned or self._exchanges.abandon()
        return self._is_abandoned

    def __exit__(self, *_: object) -> None:
        interrupt, self._interrupt = self._interrupt, None  # break the cycle place → interrupt → exchange → place
        if interrupt is not None:
            self._exchanges.running.discard(interrupt)
        if self._event is not None:
            self._exchanges.events.pop(self._event.request_id, None)
        if self._is_abandoned:
            self._exchanges.end_abandoned()
        self._exchanges.end(self._user_id)
