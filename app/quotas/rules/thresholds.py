"""When the usage of a limit has reached a percentage of it. Pure: limits, counters and charges in, events out.

Counts settled usage only, not holds. Within a window it never shrinks, so a threshold event is final.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from app.database.clock import from_ms
from app.quotas.rules.counters import Counter, CounterKey, amount_of
from app.quotas.rules.limits import Limit, Scope, Unit, Window, format_limit, format_usd
from app.quotas.rules.reservation import Amounts, Corrected
from app.quotas.rules.windows import window_end

EVENT_AGE_MAX = timedelta(days=2)
"""Older events are not sent any more: a webhook that is set up again must not report last month."""

_KNOWN_MAX = 50_000
_MINUTE = Window.MINUTE


class ThresholdEvent(NamedTuple):
    """One event: the columns of its new row. Amounts are in the limit's own unit, money in nano-USD."""

    scope: str
    scope_id: str
    unit: str
    window: str
    model: str
    window_start_ms: int
    percent: int
    amount: int
    used: int
    shadow: bool
    crossed_at_ms: int
    next_try_at_ms: int | None  # when the webhook is due; None: never

    @property
    def limit(self) -> Limit:
        """The limit as it was when this happened."""
        return Limit(
            Unit(self.unit), self.amount, Window(self.window), Scope(self.scope), self.scope_id, self.model, self.shadow
        )

    @property
    def resets_at(self) -> datetime | None:
        """None for `total`, which never resets."""
        return window_end(Window(self.window), from_ms(self.window_start_ms))


class NamedThresholdEvent(NamedTuple):
    """A threshold event that is written, with the name by which people know the limit's owner: a user's or team's name,
    a key's public id, or `gateway`.
    """

    threshold_event: ThresholdEvent
    name: str


def _unheard(_: Sequence[NamedThresholdEvent] | Sequence[Corrected]) -> None:
    """Ignores the event."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What to watch for, and whom to notify. Without percentages there are no events.

    `webhook`: events stay in the store until they are sent. `announce` is called once per event, by the process that
    wrote it, after the commit; `corrected` in the same way for corrections. Neither may block.
    """

    percents: tuple[int, ...] = ()
    webhook: bool = False
    announce: Callable[[Sequence[NamedThresholdEvent]], None] = _unheard
    corrected: Callable[[Sequence[Corrected]], None] = _unheard


UNWATCHED = Watch()


class Thresholds:
    """Finds threshold events, and remembers the written ones to save statements. Bounded.

    Remembers per limit and window the highest percentage that is written: if one is due, so are all below it.
    """

    def __init__(self, watch: Watch) -> None:
        self._percents = tuple(sorted(set(watch.percents)))
        self._webhook = watch.webhook
        self._known: dict[tuple[CounterKey, str], int] = {}

    def crossed(
        self, limit: Limit, key: CounterKey, counter: Counter, charged: Amounts, at_ms: int
    ) -> list[ThresholdEvent]:
        """The events that are due once `charged` has been added to `counter`, and are not known to be written.

        A limit that was lowered below its usage is due at its next charge. `concurrent` has no settled usage.
        """
        if not self._percents:
            return []
        limit = limit.at(at_ms)
        used = counter.settled(limit.unit)
        if not used or used * 100 < self._percents[0] * limit.amount:
            return []
        known = self._known.get((key, limit.unit.value), 0)
        due = [percent for percent in self._percents if percent > known and used * 100 >= percent * limit.amount]
        if not due or amount_of(charged, limit.unit) <= 0:
            return []
        # A rate per minute is reached and reset too fast for a message to people: only logs and metrics get it.
        next_try_at_ms = at_ms if self._webhook and limit.window is not _MINUTE else None
        return [
            ThresholdEvent(
                key.scope,
                key.scope_id,
                limit.unit.value,
                key.window,
                key.model,
                key.window_start_ms,
                percent,
                limit.amount,
                used,
                limit.shadow,
                at_ms,
                next_try_at_ms,
            )
            for percent in due
        ]

    def remember(self, threshold_events: Iterable[ThresholdEvent]) -> None:
        """Remembers events that are written and committed, by any process."""
        if len(self._known) > _KNOWN_MAX:
            self._known.clear()
        for threshold_event in threshold_events:
            key = CounterKey(
                threshold_event.scope,
                threshold_event.scope_id,
                threshold_event.model,
                threshold_event.window,
                threshold_event.window_start_ms,
            )
            meter = key, threshold_event.unit
            self._known[meter] = max(threshold_event.percent, self._known.get(meter, 0))


def describe_threshold_event(named_event: NamedThresholdEvent) -> dict[str, object]:
    """An event for programs, in the form of /v1/usage: money is in dollars, as text."""
    threshold_event, name = named_event
    limit, resets_at = threshold_event.limit, threshold_event.resets_at
    is_money = limit.unit is Unit.USD
    return {
        "limit": format_limit(limit),
        "scope": threshold_event.scope,
        "scope_id": threshold_event.scope_id or None,
        "scope_name": name,
        "unit": threshold_event.unit,
        "window": threshold_event.window,
        "model": threshold_event.model or None,
        "shadow": threshold_event.shadow,
        "percent": threshold_event.percent,
        "amount": format_usd(threshold_event.amount) if is_money else threshold_event.amount,
        "used": format_usd(threshold_event.used) if is_money else threshold_event.used,
        "resets_at": resets_at.isoformat() if resets_at else None,
    }
