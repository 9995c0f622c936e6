"""Usage over time: sums by minute, hour or day, and by any words of a total. Hours and days are read from the totals,
minutes and the parts of an hour from the records. Exact integers; nothing that is pending.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    cast,
    false,
    func,
    select,
    tuple_,
    union_all,
)

from app.database.clock import from_ms, to_ms
from app.database.schema import total_tables
from app.database.schema.total_tables import TOTAL_SUMS
from app.errors import InvalidValue
from app.quotas.reports.records import records, start_of
from app.quotas.reports.retention import pruned_until, split_total
from app.quotas.rules.windows import DAY_MS, HOUR_MS

ROWS_MAX = 50_000
_MINUTE_MS = 60_000


class Span(StrEnum):
    """How long one sum is."""

    ALL = "all"  # from the beginning to the end
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


_LENGTHS = {Span.MINUTE: _MINUTE_MS, Span.HOUR: HOUR_MS, Span.DAY: DAY_MS}


@dataclass(frozen=True, slots=True)
class WantedSeries:
    """Usage made from `since` on and before `until`. `by` are words of a total, by which it is split; `only` keeps what
    has one of these values.
    """

    since: datetime
    until: datetime
    bucket: Span = Span.DAY
    by: tuple[str, ...] = ()
    only: tuple[tuple[str, frozenset[str]], ...] = ()


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One sum. `start` None: of the whole time. `words` are those of `by`, in that order."""

    start: datetime | None
    words: tuple[str, ...]
    sums: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SeriesPage:
    """At most `limit` sums, those after the one of this time (None: of the whole time) and these words."""

    limit: int
    after: tuple[datetime | None, tuple[str, ...]] | None = None


def usage_series(connection: Connection, wanted: WantedSeries, page: SeriesPage | None = None) -> Iterator[SeriesRow]:
    """The sums, by time and words: all, or a page of them. Raises InvalidValue if only totals are left that an edge
    would split, if minutes are asked for where the records are gone, and for more than 50,000 sums.
    """
    for edge in (wanted.since, wanted.until):
        if (cut := split_total(connection, edge)) is not None:
            raise InvalidValue(
                f"{edge:%Y-%m-%dT%H:%MZ} is within a time of which only the total is kept (ledger prune). "
                f"Begin and end with whole hours, or days, there: {cut[0]:%Y-%m-%dT%H:%MZ}."
            )
    since_ms, until_ms = max(to_ms(wanted.since), 0), to_ms(wanted.until)
    horizon = pruned_until(connection)
    if wanted.bucket is Span.MINUTE and horizon is not None and wanted.since < horizon:
        raise InvalidValue(f"Minutes are kept from {horizon:%Y-%m-%dT%H:%MZ} on (ledger prune). Ask for hours or days.")
    if wanted.bucket is Span.HOUR and (day_ms := _day_without_hours(connection, since_ms, until_ms)) is not None:
        raise InvalidValue(f"Of {from_ms(day_ms):%Y-%m-%d} only the sum of the day is kept. Ask for days.")
    if since_ms >= until_ms:
        return
    parts = union_all(*_parts(wanted, since_ms, until_ms)).subquery()
    words, sums = list(parts.c)[: -len(TOTAL_SUMS)], list(parts.c)[-len(TOTAL_SUMS) :]
    query = select(*words, *(cast(func.sum(column), BigInteger) for column in sums)).group_by(*words).order_by(*words)
    if page is not None and page.after is not None:
        start, after = page.after
        place = (*([] if start is None else [to_ms(start)]), *after)
        query = query.where(tuple_(*words) > place if place else false())
    rows_max = ROWS_MAX + 1 if page is None else page.limit
    for number, row in enumerate(connection.execute(query.limit(rows_max))):
        if number == ROWS_MAX:
            raise InvalidValue(f"That are more than {ROWS_MAX} sums. Ask for a shorter time, or for fewer words.")
        found = row[len(words) :]
        if found[0] is not None:  # the sum of nothing
            start = None if wanted.bucket is Span.ALL else from_ms(row[0])
            yield SeriesRow(
                start, tuple(row[len(words) - len(wanted.by) : len(words)]), dict(zip(TOTAL_SUMS, found, strict=True))
            )


def _day_without_hours(connection: Connection, since_ms: int, until_ms: int) -> int | None:
    """The last day in this time that was pruned before hours were kept."""
    days = total_tables.usage_days.c
    old = (days.day_start_ms >= since_ms, days.day_start_ms < until_ms, days.operation == "")
    found: int | None = connection.execute(select(func.max(days.day_start_ms)).where(*old)).scalar_one()
    return found


def _parts(wanted: WantedSeries, since_ms: int, until_ms: int) -> Iterator[Select[Any]]:
    """Whole days from the totals of days, then whole hours from those of hours, and the rest from the records."""
    no_time = (until_ms, until_ms)
    hours = no_time if wanted.bucket is Span.MINUTE else whole(since_ms, until_ms, HOUR_MS)
    days = (hours[0], hours[0]) if wanted.bucket in (Span.HOUR, Span.MINUTE) else whole(*hours, DAY_MS)
    for start, end in ((since_ms, hours[0]), (hours[1], until_ms)):
        if start < end:
            yield _part(wanted, records(start, end), "reserved_at_ms")
    for table, moment, spans in (
        (total_tables.usage_hours, "hour_start_ms", ((hours[0], days[0]), (days[1], hours[1]))),
        (total_tables.usage_days, "day_start_ms", (days,)),
    ):
        for start, end in spans:
            if start < end:
                yield _part(wanted, table, moment).where(table.c[moment] >= start, table.c[moment] < end)


def whole(since_ms: int, until_ms: int, length_ms: int) -> tuple[int, int]:
    """The whole hours or days in a span; if it has none, nothing at its end."""
    first, end = -(-since_ms // length_ms) * length_ms, until_ms // length_ms * length_ms
    return (first, end) if first < end else (until_ms, until_ms)


def _part(wanted: WantedSeries, table: FromClause, moment: str) -> Select[Any]:
    keys: list[ColumnElement[Any]] = []
    if wanted.bucket is not Span.ALL:
        keys.append(start_of(table.c[moment], _LENGTHS[wanted.bucket]).label("start_ms"))
    keys += (func.coalesce(table.c[word], "").label(word) for word in wanted.by)
    only = (table.c[word].in_(sorted(values)) for word, values in wanted.only)
    sums = (func.sum(table.c[name]).label(name) for name in TOTAL_SUMS)
    return select(*keys, *sums).where(*only).group_by(*keys)
