"""Compares one UTC day of the ledger with the provider's bill for it, per model: of one account, or of all together.

Makes no request. A request belongs to the day in which it was made. reconciliations.py keeps the result.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, cast, func, or_, select, true

from app.database.clock import to_ms
from app.database.schema import ledger_tables, total_tables
from app.quotas.reports.retention import pruned_until
from app.quotas.rules.reservation import State, UsageSource
from app.quotas.rules.windows import DAY_MS

_rows = ledger_tables.reservations.c
_days = total_tables.usage_days.c

# A refused request counts as a request here, and is on no bill.
_is_billed = _rows.usage_source != UsageSource.NONE

# A bill that rounds amounts to six decimals may be wrong by this much in each of them.
_ROUNDING_NANOUSD = 500


class Tally(NamedTuple):
    """A number of requests and their cost. The difference of two is a drift."""

    requests: int = 0
    nanousd: int = 0

    def plus(self, other: "Tally") -> "Tally":
        return Tally(self.requests + other.requests, self.nanousd + other.nanousd)

    def minus(self, other: "Tally") -> "Tally":
        return Tally(self.requests - other.requests, self.nanousd - other.nanousd)


_NOTHING = Tally()


class Verdict(StrEnum):
    """What a drift means, best first.

    `equal`: there is no drift. `estimated`: rows that are charged an estimate, or have no price, can explain all of it.
    `timing`: requests that crossed midnight, or still run, may explain it. `drift`: nothing explains it.
    """

    EQUAL = "equal"
    ESTIMATED = "estimated"
    TIMING = "timing"
    DRIFT = "drift"


@dataclass(slots=True)
class ModelDay:
    """One model's day. `estimated`, `unpriced` and `expired` are parts of `ledger` and may overlap. `doubtful` is at
    least the union of the first two. Of pruned days only their number is known; `pruned` says so.

    Not in any sum: `pending`, with what it holds, and `began_before`, which was made the day before and ended in this
    one. `ended_after`, a part of `ledger`, was made in this day and ended later.
    """

    ledger: Tally = _NOTHING
    estimated: Tally = _NOTHING
    unpriced: Tally = _NOTHING
    doubtful: Tally = _NOTHING
    expired: Tally = _NOTHING
    ended_after: Tally = _NOTHING
    pending: Tally = _NOTHING
    began_before: Tally = _NOTHING
    billed: Tally = _NOTHING
    pruned: bool = field(default=False, kw_only=True)

    @property
    def drift(self) -> Tally:
        """Above zero, the ledger charged more than was billed."""
        return self.ledger.minus(self.billed)

    @property
    def verdict(self) -> Verdict:
        if _between(_NOTHING, self.drift, _NOTHING):
            return Verdict.EQUAL
        above = Tally(self.estimated.requests, self.doubtful.nanousd)
        if _between(_NOTHING, self.drift, above):
            return Verdict.ESTIMATED
        below = _NOTHING.minus(self.pending.plus(self.began_before))
        if _between(below, self.drift, above.plus(self.ended_after)):
            return Verdict.TIMING
        return Verdict.DRIFT

    def add(self, other: "ModelDay") -> None:
        """Adds another model's sums to this one."""
        for each in fields(self):
            if each.name != "pruned":
                setattr(self, each.name, getattr(self, each.name).plus(getattr(other, each.name)))
        self.pruned = self.pruned or other.pruned


@dataclass(frozen=True, slots=True)
class DayComparison:
    """A day's models by name. `elsewhere`: billed for models neither listed nor used here that day; in no verdict.

    `account` '': all accounts together.
    """

    day: date
    models: dict[str, ModelDay]
    elsewhere: dict[str, Tally]
    account: str = ""

    @property
    def total(self) -> ModelDay:
        total = ModelDay()
        for model in self.models.values():
            total.add(model)
        return total

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of the models: an excess of one does not balance a lack of another."""
        order = list(Verdict)
        return max((model.verdict for model in self.models.values()), key=order.index, default=Verdict.EQUAL)

    @property
    def explained(self) -> bool:
        """Whether there is no drift beyond what estimates, or charges without a price, can explain."""
        return self.verdict in (Verdict.EQUAL, Verdict.ESTIMATED)


def compare_day(
    connection: Connection,
    day: date,
    billed: Iterable[tuple[str, Tally]],
    name_of: Callable[[str], str | None],
    account: str = "",
) -> DayComparison:
    """The ledger's day beside what was billed for it: the part of one account, or with '' everything.

    `name_of` gives the one name of a listed model that has several, None for a model that is not listed. Call it inside
    `reading`.
    """
    models: dict[str, ModelDay] = {}
    elsewhere: dict[str, Tally] = {}
    part_of = _Part(to_ms(day_start(day)), account)
    horizon = pruned_until(connection)
    is_pruned = horizon is not None and part_of.start_ms < to_ms(horizon)
    for read_part in (_pending, _totals, _crossing) if is_pruned else (_recorded, _corrected, _crossing):
        for name, part in read_part(connection, part_of):
            models.setdefault(name_of(name) or name, ModelDay()).add(part)
    for name, tally in billed:
        listed = name_of(name)
        if listed is None and name not in models:
            elsewhere[name] = elsewhere.get(name, Tally()).plus(tally)
        else:
            model = models.setdefault(listed or name, ModelDay())
            model.billed = model.billed.plus(tally)
    return DayComparison(day, dict(sorted(models.items())), dict(sorted(elsewhere.items())), account)


class _Part(NamedTuple):
    """What is compared: the day that begins then, of one account or ('') of all."""

    start_ms: int
    account: str

    @property
    def end_ms(self) -> int:
        return self.start_ms + DAY_MS

    def whose(self, column: ColumnElement[str]) -> ColumnElement[bool]:
        return column == self.account if self.account else true()


def day_start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _between(least: Tally, drift: Tally, most: Tally) -> bool:
    return (
        least.requests <= drift.requests <= most.requests
        and least.nanousd - _ROUNDING_NANOUSD <= drift.nanousd <= most.nanousd + _ROUNDING_NANOUSD
    )


def _sum(column: ColumnElement[int], condition: ColumnElement[bool] | None = None) -> ColumnElement[int]:
    total = func.sum(column) if condition is None else func.sum(column).filter(condition)
    return cast(func.coalesce(total, 0), BigInteger)


def _recorded(connection: Connection, part: _Part) -> list[tuple[str, ModelDay]]:
    """The sums of the reservations made in the day."""
    is_pending = _rows.state == State.PENDING
    is_estimated = _rows.usage_source == UsageSource.ESTIMATED
    is_unpriced = and_(_rows.priced.is_(False), _is_billed)
    charged = (  # in the order of ModelDay's fields
        _is_billed,
        is_estimated,
        is_unpriced,
        or_(is_estimated, is_unpriced),
        and_(is_estimated, _rows.state == State.EXPIRED),
        and_(_is_billed, _rows.resolved_at_ms >= part.end_ms),
    )
    query = (
        select(
            _rows.model,
            *(_sum(column, which) for which in charged for column in (_rows.charged_requests, _rows.charged_nanousd)),
            func.count().filter(is_pending),
            _sum(_rows.held_nanousd, is_pending),
        )
        .where(_rows.reserved_at_ms >= part.start_ms, _rows.reserved_at_ms < part.end_ms, part.whose(_rows.account))
        .group_by(_rows.model)
    )
    return [
        (name, ModelDay(*(Tally(*sums[at : at + 2]) for at in range(0, len(sums), 2))))
        for name, *sums in connection.execute(query)
    ]


def _corrected(connection: Connection, part: _Part) -> Iterator[tuple[str, ModelDay]]:
    """What corrections change in the reservations made in the day: the amount, and mostly that it was an estimate."""
    late, was = ledger_tables.corrections.c, _rows.usage_source == UsageSource.ESTIMATED
    after = _rows.charged_nanousd + late.charged_nanousd
    query = (
        select(_rows.model, was, _rows.charged_nanousd, late.usage_source, late.priced, after)
        .select_from(ledger_tables.corrections.join(ledger_tables.reservations, late.reservation_id == _rows.id))
        .where(late.reserved_at_ms >= part.start_ms, late.reserved_at_ms < part.end_ms, part.whose(late.account))
    )
    for name, was_estimated, before, source, priced, nanousd in connection.execute(query):
        old = Tally(int(was_estimated), before)
        new = Tally(int(source != UsageSource.NONE), nanousd)
        estimated = new if source == UsageSource.ESTIMATED else _NOTHING
        unpriced = _NOTHING if priced or source == UsageSource.NONE else new
        doubtful, gone = max(estimated, unpriced), _NOTHING.minus(old)
        yield name, ModelDay(new.plus(gone), estimated.plus(gone), unpriced, doubtful.plus(gone), gone)


def _crossing(connection: Connection, part: _Part) -> list[tuple[str, ModelDay]]:
    """The sums of the reservations made the day before that ended in this one."""
    query = (
        select(_rows.model, _sum(_rows.charged_requests), _sum(_rows.charged_nanousd))
        .where(_rows.reserved_at_ms >= part.start_ms - DAY_MS, _rows.reserved_at_ms < part.start_ms)
        .where(_rows.resolved_at_ms >= part.start_ms, _rows.resolved_at_ms < part.end_ms)
        .where(_is_billed, part.whose(_rows.account))
        .group_by(_rows.model)
    )
    return [(name, ModelDay(began_before=Tally(*sums))) for name, *sums in connection.execute(query)]


def _pending(connection: Connection, part: _Part) -> list[tuple[str, ModelDay]]:
    """What is still pending of a pruned day."""
    query = (
        select(_rows.model, func.count(), _sum(_rows.held_nanousd))
        .where(_rows.state == State.PENDING, part.whose(_rows.account))
        .where(_rows.reserved_at_ms >= part.start_ms, _rows.reserved_at_ms < part.end_ms)
        .group_by(_rows.model)
    )
    return [(name, ModelDay(pending=Tally(*sums))) for name, *sums in connection.execute(query)]


def _totals(connection: Connection, part: _Part) -> list[tuple[str, ModelDay]]:
    """The totals of a pruned day. One with any estimate in it counts as doubtful as a whole."""
    has_estimates, has_unpriced = _days.estimated > 0, _days.unpriced > 0
    query = (
        select(
            _days.model,
            _sum(_days.charged_requests - _days.refused),
            _sum(_days.charged_nanousd),
            _sum(_days.estimated),
            _sum(_days.unpriced),
            _sum(_days.charged_nanousd, or_(has_estimates, has_unpriced)),
        )
        .where(_days.day_start_ms == part.start_ms, part.whose(_days.account))
        .group_by(_days.model)
    )
    return [
        (
            name,
            ModelDay(
                ledger=Tally(requests, nanousd),
                estimated=Tally(estimated),
                unpriced=Tally(unpriced),
                doubtful=Tally(0, doubtful_nanousd),
                pruned=True,
            ),
        )
        for name, requests, nanousd, estimated, unpriced, doubtful_nanousd in connection.execute(query)
    ]
