"""What one user used, day by day, from the totals of days. Reads only; exact integers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Connection, cast, func, select

from app.database.clock import from_ms, to_ms
from app.database.schema.total_tables import usage_days

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
    """The days since then on which requests of the user were resolved, oldest first."""
    day, sums = usage_days.c.day_start_ms, (cast(func.sum(usage_days.c[name]), BigInteger) for name in _SUMS)
    query = select(day, *sums).where(usage_days.c.user_id == user_id, day >= to_ms(since)).group_by(day).order_by(day)
    for start_ms, *amounts in connection.execute(query):
        yield UserDay(f"{from_ms(start_ms):%Y-%m-%d}", *amounts)
