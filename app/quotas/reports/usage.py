"""Who used what: sums over reservations and the daily totals of pruned ones. The database sums, and rows are passed on
one by one. Reads only; exact integers.
"""

from collections.abc import Iterable, Iterator
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
    literal_column,
    null,
    select,
    union_all,
)

from app.database.clock import from_ms, to_ms
from app.database.schema import identity_tables, ledger_tables, total_tables
from app.errors import Conflict
from app.quotas.ledger.corrections import COUNTS
from app.quotas.reports.retention import splits_a_total
from app.quotas.rules.windows import DAY_MS

_PAGE = 1000

_rows = ledger_tables.reservations.c
_days = total_tables.usage_days.c

# In the order of UsageRow's fields.
_AMOUNTS = (
    "charged_images",
    "charged_tokens",
    "input_text_tokens",
    "input_image_tokens",
    "output_text_tokens",
    "output_image_tokens",
    "charged_nanousd",
)


class Grouping(StrEnum):
    """What a line of the report stands for."""

    USER = "user"
    TEAM = "team"
    KEY = "key"
    MODEL = "model"
    ACCOUNT = "account"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Usage of one user, team, key, model, ZenMux account or UTC day. `id` is '' for requests without a team.

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


def usage_report(
    connection: Connection, by: Grouping, since: datetime | None = None, until: datetime | None = None
) -> Iterator[UsageRow]:
    """Usage of the reservations made from `since` on and before `until`, ordered by id (days: by time).

    Pruned ones are included through their daily totals. Raises Conflict if an edge would split such a day. Memory stays
    bounded for any number of rows: read them inside the transaction.
    """
    for edge in (since, until):
        if edge is not None and (day := splits_a_total(connection, edge)) is not None:
            raise Conflict(
                f"{edge:%Y-%m-%d %H:%M} UTC is in the middle of a day of which only the total is kept (ledger prune); "
                f"begin or end a report with whole days there: {day:%Y-%m-%d} or {day + timedelta(days=1):%Y-%m-%d}."
            )
    return _rows_of(connection, _query(Grouping(by), since, until), Grouping(by))


def _rows_of(connection: Connection, query: Select[Any], by: Grouping) -> Iterator[UsageRow]:
    for group, name, *sums in connection.execute(query, execution_options={"yield_per": _PAGE}):
        id_ = f"{from_ms(group * DAY_MS):%Y-%m-%d}" if by is Grouping.DAY else group
        yield UsageRow(id_, name or id_, *sums)


def _query(by: Grouping, since: datetime | None, until: datetime | None) -> Select[Any]:
    """Each table is summed by itself, then all together, then names are added, so little is sorted and joined."""
    rows, late, days = ledger_tables.reservations, ledger_tables.corrections, total_tables.usage_days
    parts = union_all(
        _part(_group(by, rows, "reserved_at_ms"), _sums_of_rows()).where(*_between(_rows.reserved_at_ms, since, until)),
        _part(_group(by, late, "reserved_at_ms"), _sums_of_corrections()).where(
            *_between(late.c.reserved_at_ms, since, until)
        ),
        _part(_group(by, days, "day_start_ms"), _sums_of_days()).where(*_between(_days.day_start_ms, since, until)),
    ).subquery()
    group, *sums = parts.c
    totals = [cast(func.sum(column), BigInteger) for column in sums]
    if by not in _OWNERS:
        return select(group, null(), *totals).group_by(group).order_by(group)
    name, joined = _OWNERS[by].c.name, parts.outerjoin(_OWNERS[by], group == _OWNERS[by].c.id)
    return select(group, name, *totals).select_from(joined).group_by(group, name).order_by(group)


def _part(group: ColumnElement[Any], sums: Iterable[ColumnElement[int]]) -> Select[Any]:
    named = [column.label(name) for name, column in zip(_SUM_NAMES, sums, strict=True)]
    return select(group.label("grouped"), *named).group_by(group)


def _group(by: Grouping, table: FromClause, moment: str) -> ColumnElement[Any]:
    """The id a line stands for, '' if there is none. Never a bare column: SQLite would then follow that column's index
    and read the table in random order, three times slower than from front to back.
    """
    if by is Grouping.DAY:
        return table.c[moment] // literal(DAY_MS, BigInteger, literal_execute=True)
    column = table.c[by.value if by in (Grouping.MODEL, Grouping.ACCOUNT) else f"{by}_id"]
    return func.coalesce(column, literal_column("''"))


def _between(
    moment: ColumnElement[int], since: datetime | None, until: datetime | None
) -> Iterator[ColumnElement[bool]]:
    if since is not None:
        yield moment >= to_ms(since)
    if until is not None:
        yield moment < to_ms(until)


def _sums_of_rows() -> Iterator[ColumnElement[int]]:
    yield func.count()
    yield func.count().filter(_rows.state == "pending")
    yield func.count().filter(_rows.charged_requests == 0)
    yield func.count().filter((_rows.usage_source == "none") & (_rows.charged_requests == 1))
    yield func.count().filter(_rows.usage_source == "estimated")
    yield func.count().filter(_rows.priced.is_(False) & (_rows.usage_source != "none"))
    yield from (func.coalesce(func.sum(_rows[name]), 0) for name in _AMOUNTS)


def _sums_of_corrections() -> Iterator[ColumnElement[int]]:
    for name in ("requests", "pending", "released", "refused", "estimated", "unpriced"):
        yield func.sum(literal_column(COUNTS.get(name, "0"), BigInteger))
    yield from (func.coalesce(func.sum(ledger_tables.corrections.c[name]), 0) for name in _AMOUNTS)


def _sums_of_days() -> Iterator[ColumnElement[int]]:
    yield func.sum(_days.requests)
    yield literal_column("0", BigInteger)  # pending reservations are never pruned
    yield from (func.sum(_days[name]) for name in ("released", "refused", "estimated", "unpriced", *_AMOUNTS))
