"""Reservations and their corrections as rows that can be added up, one shape for both: what totals are made of. Reports
use it for the parts of an hour, and the audit proves the totals with it, by other SQL than the ledger's own.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Subquery,
    case,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    union_all,
)

from app.database.schema import ledger_tables, total_tables
from app.database.schema.total_tables import TOTAL_SUMS, TOTAL_WORDS
from app.quotas.ledger.corrections import COUNTS
from app.quotas.rules.windows import DAY_MS, HOUR_MS

LATEST_MS = DAY_MS * 2**36
"""Later than every reservation, and the beginning of a day."""

_rows = ledger_tables.reservations.c
_hours = total_tables.usage_hours.c
_days = total_tables.usage_days.c

_COUNTED: dict[str, ColumnElement[int]] = {
    "requests": literal_column("1", BigInteger),
    "released": case((_rows.charged_requests == 0, 1), else_=0),
    "refused": case(((_rows.usage_source == "none") & (_rows.charged_requests == 1), 1), else_=0),
    "estimated": case((_rows.usage_source == "estimated", 1), else_=0),
    "unpriced": case((_rows.priced.is_(False) & (_rows.usage_source != "none"), 1), else_=0),
}


def records(since_ms: int, until_ms: int) -> Subquery:
    """Every resolved reservation made in this time, and every correction of one: its time, its words, its amounts. A
    correction has the words of its reservation.
    """
    words = [func.coalesce(_rows[word], "").label(word) for word in TOTAL_WORDS]
    counts = (literal_column(text, BigInteger).label(f"counted_{name}") for name, text in COUNTS.items())
    late = select(ledger_tables.corrections, *counts).subquery().c

    def rows_with(sums: dict[str, ColumnElement[int]]) -> Select[Any]:
        between = (_rows.reserved_at_ms >= since_ms, _rows.reserved_at_ms < until_ms)
        named = (cast(sums[name], BigInteger).label(name) for name in TOTAL_SUMS)
        return select(_rows.reserved_at_ms, *words, *named).where(*between)

    own = {name: func.coalesce(_rows[name], 0) for name in TOTAL_SUMS if name not in _COUNTED} | _COUNTED
    more: dict[str, ColumnElement[int]] = {
        name: late[f"counted_{name}"] if name in COUNTS else func.coalesce(late[name], 0) for name in TOTAL_SUMS
    }
    return union_all(
        rows_with(own).where(_rows.state != "pending"), rows_with(more).where(late.reservation_id == _rows.id)
    ).subquery()


def hours_of_records(since_ms: int = 0) -> Select[Any]:
    """What `usage_hours` has to be from then on, in the order of its columns."""
    found = records(since_ms, LATEST_MS).c
    key = [start_of(found.reserved_at_ms, HOUR_MS), *(found[word] for word in TOTAL_WORDS)]
    return select(*key, *(cast(func.sum(found[name]), BigInteger) for name in TOTAL_SUMS)).group_by(*key)


def days_of_hours() -> Select[Any]:
    """What `usage_days` has to be where there are hours, in the order of its columns."""
    key = [start_of(_hours.hour_start_ms, DAY_MS), *(_hours[word] for word in TOTAL_WORDS)]
    return select(*key, *(cast(func.sum(_hours[name]), BigInteger) for name in TOTAL_SUMS)).group_by(*key)


def wrong_totals(horizon_ms: int) -> Select[Any]:
    """The totals that are not the sums of what they are made of: their start, key and model. Hours are compared with
    the records from `horizon_ms` on, where all of these are left; days with their hours, if they have any.
    """
    hours = select(total_tables.usage_hours).where(_hours.hour_start_ms >= horizon_ms)
    days = select(total_tables.usage_days).where(_days.operation != "")
    parts = [_differing(hours, hours_of_records(horizon_ms)), _differing(days, days_of_hours())]
    found = union_all(*parts).subquery()
    return select(found).distinct().order_by(*found.c)


def start_of(moment: ColumnElement[int], length_ms: int) -> ColumnElement[int]:
    """The beginning of the hour or day that contains a moment."""
    length = literal(length_ms, BigInteger, literal_execute=True)
    return moment // length * length


def _differing(said: Select[Any], summed: Select[Any]) -> Select[Any]:
    """The places where two sets of totals are not the same: one counts, the other is taken off."""
    one, other = said.subquery(), summed.subquery()
    words = len(TOTAL_WORDS) + 1
    both = union_all(
        select(*(column.label(f"c{at}") for at, column in enumerate(one.c))),
        select(*(column if at < words else -column for at, column in enumerate(other.c))),
    ).subquery()
    key, sums = list(both.c)[:words], list(both.c)[words:]
    named = dict(zip(("start_ms", *TOTAL_WORDS), key, strict=True))
    found = [named[name].label(name) for name in ("start_ms", "key_id", "model")]
    return select(*found).group_by(*key).having(or_(*(func.sum(column) != 0 for column in sums)))
