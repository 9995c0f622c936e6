"""What one user used, day by day. Reads only; exact integers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Connection, cast, func, literal, select, union_all

from app.database.clock import from_ms, to_ms
from app.database.schema import ledger_tables
from app.quotas.rules.windows import DAY_MS

_rows, _late = ledger_tables.reservations, ledger_tables.corrections
_SUMS = ("charged_requests", "charged_images", "charged_tokens", "charged_nanousd")


@dataclass(frozen=True, slots=True)
class UserDay:
    """One UTC day, written `2026-11-29`."""

    day: str
    requests: int
    images: int
    tokens: int
    nanousd: int


def days_of_user(connection: Connection, user_id: str, since: datetime) -> Iterator[UserDay]:
    """The days since then on which the user asked for something, oldest first."""
    parts = []
    for table in (_rows, _late):
        day = table.c.reserved_at_ms // literal(DAY_MS, BigInteger, literal_execute=True)
        sums = (func.coalesce(func.sum(table.c[name]), 0).label(name) for name in _SUMS)
        mine = (table.c.user_id == user_id, table.c.reserved_at_ms >= to_ms(since))
        parts.append(select(day.label("day"), *sums).where(*mine).group_by(day))
    both = union_all(*parts).subquery()
    totals = (cast(func.sum(both.c[name]), BigInteger) for name in _SUMS)
    for day_number, *amounts in connection.execute(
        select(both.c.day, *totals).group_by(both.c.day).order_by(both.c.day)
    ):
        yield UserDay(f"{from_ms(day_number * DAY_MS):%Y-%m-%d}", *amounts)
