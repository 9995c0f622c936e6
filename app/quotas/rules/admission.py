"""Whether a request fits into its limits, and the text of a refusal. Pure: limits, counters, amounts and time in, a
decision out. Changes no counter.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from app.database.clock import to_ms
from app.errors import RETRY_AFTER_SECONDS_MAX, LimitReached, QuotaExceeded, RateLimited
from app.quotas.rules.counters import Counter, amount_of
from app.quotas.rules.limits import Limit, Scope, Unit, Window, describe_amount, format_limit
from app.quotas.rules.reservation import Amounts
from app.quotas.rules.windows import window_end

# An image takes seconds to minutes. This is soon enough to find a free slot, and not so often that it floods the
# gateway.
_CONCURRENT_RETRY_SECONDS = 5

_REQUESTS = Unit.REQUESTS  # looking a member up is slow in Python 3.11, and every reservation needs it

_WHOSE = {
    Scope.KEY: "this key",
    Scope.USER: "this key's user",
    Scope.TEAM: "this user's team",
    Scope.GATEWAY: "the whole gateway",
    Scope.ACCOUNT: "the gateway's ZenMux account",
}


class RateStatus(NamedTuple):
    """The tightest request limit that resets, for the x-ratelimit headers. `remaining` already excludes this
    request.
    """

    limit: int
    remaining: int
    reset_seconds: int


@dataclass(frozen=True, slots=True)
class LimitRefusal:
    """One limit that a request does not fit into. `left` is never below 0. `resets_at` None: it never resets."""

    limit: Limit
    left: int
    needed: int
    at: datetime
    resets_at: datetime | None

    @property
    def never_fits(self) -> bool:
        """Whether the request needs more than the whole limit, so that waiting does not help."""
        return self.needed > self.limit.amount

    @property
    def is_rate(self) -> bool:
        """Whether the same request may pass within a minute or so."""
        return self.limit.window in (Window.MINUTE, Window.NOW) and not self.never_fits

    @property
    def retry_after_seconds(self) -> int:
        """How long to wait before a retry, for a rate: 1 to 60."""
        if self.resets_at is None:
            return _CONCURRENT_RETRY_SECONDS
        return min(max(_seconds_until(self.resets_at, self.at), 1), RETRY_AFTER_SECONDS_MAX)

    @property
    def message(self) -> str:
        """For people: which limit, whose, what is left, what was needed, when it resets."""
        limit = self.limit
        named = f"The limit {format_limit(limit)} of {_WHOSE[limit.scope]}"
        if self.never_fits:
            return (
                f"{named} can never fit this request, which needs {describe_amount(limit.unit, self.needed)}: "
                "waiting does not help."
            )
        if limit.unit is Unit.CONCURRENT:
            return f"{named} is reached: as many requests are running now. Try again when one of them has ended."
        left, needed = describe_amount(limit.unit, self.left), describe_amount(limit.unit, self.needed)
        reset = f"resets at {self.resets_at:%Y-%m-%d %H:%M} UTC" if self.resets_at else "does not reset"
        return f"{named} is reached: {left} left, this request needs {needed}. It {reset}."

    @property
    def label(self) -> str:
        """For logs and metrics: scope and unit, then the limit, such as `user/images images:5/day`."""
        return f"{self.limit.scope}/{self.limit.unit} {format_limit(self.limit)}"

    def error(self) -> LimitReached:
        """The refusal as the error the caller gets."""
        written, limit = format_limit(self.limit), self.limit
        if self.is_rate:
            return RateLimited(
                self.message,
                limit=written,
                scope=limit.scope,
                unit=limit.unit,
                retry_after_seconds=self.retry_after_seconds,
            )
        resets_at = None if self.never_fits else self.resets_at
        return QuotaExceeded(self.message, limit=written, scope=limit.scope, unit=limit.unit, resets_at=resets_at)


class Decision(NamedTuple):
    """`refusal` None: the request fits. `shadow`: what shadow limits would have refused."""

    refusal: LimitRefusal | None
    shadow: tuple[LimitRefusal, ...]
    rate: RateStatus | None


def decide(limits_and_counters: Iterable[tuple[Limit, Counter]], amounts: Amounts, now: datetime) -> Decision:
    """Checks `amounts` against every limit, all or nothing. A limit from which a request takes nothing never refuses
    it.

    Of several refusals, reports the one that blocks the caller longest: a quota before a rate, and one that can never
    pass before one that resets.
    """
    refusals: list[LimitRefusal] = []
    shadow: list[LimitRefusal] = []
    tightest: tuple[int, Limit] | None = None
    for each, counter in limits_and_counters:
        limit = each if each.raised_until_ms is None else each.at(to_ms(now))
        unit = limit.unit
        needed = amount_of(amounts, unit)
        left = limit.amount - counter.settled(unit) - counter.pending(unit)
        if 0 < needed > left:
            found = LimitRefusal(limit, max(left, 0), needed, now, window_end(limit.window, now))
            (shadow if limit.shadow else refusals).append(found)
        if unit is _REQUESTS and _tells_a_rate(limit) and (tightest is None or left < tightest[0]):
            tightest = left, limit
    if refusals:
        return Decision(max(refusals, key=_severity), tuple(shadow), None)
    rate = None if tightest is None else _rate_status(tightest[1], tightest[0], amounts, now)
    return Decision(None, tuple(shadow), rate)


def _severity(refusal: LimitRefusal) -> tuple[bool, bool, float]:
    if refusal.resets_at is None:
        # A window without an end never resets; but running requests end by themselves.
        wait = 0.0 if refusal.is_rate else float("inf")
    else:
        wait = (refusal.resets_at - refusal.at).total_seconds()
    return not refusal.is_rate, refusal.never_fits, wait


def _tells_a_rate(limit: Limit) -> bool:
    """An account's rate is not a caller's: another account may have room."""
    return limit.window is not Window.TOTAL and not limit.shadow and limit.scope is not Scope.ACCOUNT


def _rate_status(limit: Limit, left: int, amounts: Amounts, now: datetime) -> RateStatus:
    end = window_end(limit.window, now)
    assert end is not None
    return RateStatus(limit.amount, max(left - amounts.requests, 0), max(_seconds_until(end, now), 1))


def _seconds_until(moment: datetime, now: datetime) -> int:
    return -int((now - moment).total_seconds() // 1)
