"""Who used what: sums over the totals of days and hours, and over reservations for the parts of an hour and for what is
pending. The database sums, and rows are passed on one by one. Reads only; exact integers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    cast,
    func,
    literal,
    null,
    select,
    union_all,
)

from app.database.clock import from_ms, to_ms
from app.database.schema import identity_tables, ledger_tables, total_tables
from app.errors import Conflict
from app.quotas.reports.records import LATEST_MS, records, start_of
from app.quotas.reports.retention import split_total
from app.quotas.rules.windows import DAY_MS, HOUR_MS

_PAGE = 1000

_rows = ledger_tables.reservations.c

# In the order of UsageRow's fields; nothing that is resolved is pending.
_SUMS = (
    *("requests", None, "released", "refused", "estimated", "unpriced", "charged_images", "charged_tokens"),
    *("input_text_tokens", "input_image_tokens", "output_text_tokens", "output_image_tokens", "charged_nanousd"),
)


class Grouping(StrEnum):
    """What a line of the report stands for."""

    USER = "user"
    TEAM = "team"
    KEY = "key"
    MODEL = "model"
    DAY = "day"
    HOUR = "hour"
    OPERATION = "operation"
    SIZE = "size"
    QUALITY = "quality"
    OUTCOME = "outcome"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Usage of one user, team, key, model or UTC day, or of another grouping. `id` is '' for requests without a team,
    and for what an old total does not tell. By outcome, what is pending is `pending`.

    `requests` are all that passed their limits. Of these, `pending` still run, `released` count for nothing, `refused`
    were sent and refused and count only as requests, `estimated` are charged an estimate, and `unpriced` are charged a
    maximum because their price is unknown. Amounts contain nothing pending. A limit on requests counts `requests` less
    `released`.
    """

    id: str
    name: str
    requests: int
    pending: int
    released: int
    refused: int
    estimated: int
    unpriced: int
    images: int
    tokens: int
    input_text_tokens: int
    input_image_tokens: int
    output_text_tokens: int
    output_image_tokens: int
    nanousd: int


_SUM_NAMES = tuple(field.name for field in fields(UsageRow) if field.name not in ("id", "name"))
_OWNERS = {
    Grouping.USER: identity_tables.users,
    Grouping.TEAM: identity_tables.teams,
    Grouping.KEY: identity_tables.keys,
}
_TIMES = {Grouping.DAY: "%Y-%m-%d", Grouping.HOUR: "%Y-%m-%dT%H:%MZ"}


def usage_report(
    connection: Connection, by: Grouping, since: datetime | None = None, until: datetime | None = None
) -> Iterator[UsageRow]:
    """Usage of the reservations made from `since` on and before `until`, ordered by id (days, hours: by time).

    Pruned ones are included through their totals. Raises Conflict if an edge would split such a total. Memory stays
    bounded for any number of rows: read them inside the transaction.
    """
    grouping = Grouping(by)
    for edge in (since, until):
        if edge is not None and (found := split_total(connection, edge)) is not None:
            raise _cut(edge, *found)
    since_ms = 0 if since is None else to_ms(since)
    until_ms = LATEST_MS if until is None else to_ms(until)
    return _rows_of(connection, _query(grouping, max(since_ms, 0), max(until_ms, 0)), grouping)


def _cut(edge: datetime, start: datetime, length: timedelta) -> Conflict:
    is_day = length == timedelta(days=1)
    what, units, form = ("a day", "days", "%Y-%m-%d") if is_day else ("an hour", "hours", "%Y-%m-%d %H:%M")
    return Conflict(
        f"{edge:%Y-%m-%d %H:%M} UTC is in the middle of {what} of which only the total is kept (ledger prune); "
        f"begin or end a report with whole {units} there: {start:{form}} or {start + length:{form}}."
    )


def _rows_of(connection: Connection, query: Select[Any], by: Grouping) -> Iterator[UsageRow]:
    for group, name, *sums in connection.execute(query, execution_options={"yield_per": _PAGE}):
        id_ = f"{from_ms(group):{_TIMES[by]}}" if by in _TIMES else group
        yield UsageRow(id_, name or id_, *sums)


def _query(by: Grouping, since_ms: int, until_ms: int) -> Select[Any]:
    """Each table is summed by itself, then all together, then names are added, so little is sorted and joined."""
    parts = union_all(*_parts(by, since_ms, until_ms)).subquery()
    group, *sums = parts.c
    totals = [cast(func.sum(column), BigInteger) for column in sums]
    if by not in _OWNERS:
        return select(group, null(), *totals).group_by(group).order_by(group)
    name, joined = _OWNERS[by].c.name, parts.outerjoin(_OWNERS[by], group == _OWNERS[by].c.id)
    return select(group, name, *totals).select_from(joined).group_by(group, name).order_by(group)


def _parts(by: Grouping, since_ms: int, until_ms: int) -> Iterator[Select[Any]]:
    """Whole days from the totals of days, then whole hours from those of hours, and the rest from the records."""
    is_in_time = (_rows.reserved_at_ms >= since_ms, _rows.reserved_at_ms < until_ms)
    yield _pending_part(by).where(ledger_tables.IS_PENDING, *is_in_time)
    hours = _whole(since_ms, until_ms, HOUR_MS)
    days = (hours[0], hours[0]) if by is Grouping.HOUR else _whole(*hours, DAY_MS)
    for start, end in ((since_ms, hours[0]), (hours[1], until_ms)):
        if start < end:
            made = records(start, end)
            yield _part(_group(by, made, "reserved_at_ms"), made)
    for table, moment, spans in (
        (total_tables.usage_hours, "hour_start_ms", ((hours[0], days[0]), (days[1], hours[1]))),
        (total_tables.usage_days, "day_start_ms", (days,)),
    ):
        for start, end in spans:
            if start < end:
                yield _part(_group(by, table, moment), table).where(table.c[moment] >= start, table.c[moment] < end)


def _whole(since_ms: int, until_ms: int, length_ms: int) -> tuple[int, int]:
    """The whole hours or days in a span; if it has none, nothing at its end."""
    first, end = -(-since_ms // length_ms) * length_ms, until_ms // length_ms * length_ms
    return (first, end) if first < end else (until_ms, until_ms)


def _part(group: ColumnElement[Any], table: FromClause) -> Select[Any]:
    nothing = literal(0, BigInteger, literal_execute=True)
    sums = (func.sum(table.c[name]) if name else nothing for name in _SUMS)
    named = [column.label(name) for name, column in zip(_SUM_NAMES, sums, strict=True)]
    return select(group.label("grouped"), *named).group_by(group)


def _pending_part(by: Grouping) -> Select[Any]:
    nothing = literal(0, BigInteger, literal_execute=True)
    sums = (func.count() if name in ("requests", "pending") else nothing for name in _SUM_NAMES)
    named = [column.label(name) for name, column in zip(_SUM_NAMES, sums, strict=True)]
    rows = ledger_tables.reservations
    if by is Grouping.OUTCOME:  # which it does not have yet
        pending: ColumnElement[Any] = literal("pending", literal_execute=True)
        return select(*(pending.label("grouped"), *named)).select_from(rows).having(func.count() > 0)
    group = _group(by, rows, "reserved_at_ms")
    return select(group.label("grouped"), *named).select_from(rows).group_by(group)


def _group(by: Grouping, table: FromClause, moment: str) -> ColumnElement[Any]:
    """The id a line stands for, '' if there is none. Never a bare column: SQLite would then follow that column's index
    and read the table in random order, three times slower than from front to back.
    """
    if by in _TIMES:
        return start_of(table.c[moment], DAY_MS if by is Grouping.DAY else HOUR_MS)
    column = table.c[f"{by}_id"] if by in _OWNERS else table.c[by.value]
    return func.coalesce(column, literal("", literal_execute=True))
