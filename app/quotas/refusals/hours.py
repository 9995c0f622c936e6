"""Counts of refusals in the database: adds to them, sums them up, deletes old ones. Every function blocks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, ColumnElement, Connection, Engine, cast, delete, func, select, text, true

from app.database.clock import to_ms
from app.database.engine import reading, writing
from app.database.schema.identity_tables import keys, users
from app.database.schema.total_tables import refusal_hours
from app.quotas.refusals.counts import RefusalPlace
from app.quotas.rules.windows import DAY_MS, HOUR_MS

_rows = refusal_hours.c

_ADD = text(
    "INSERT INTO refusal_hours (hour_start_ms, user_id, key_id, code, count) "
    "VALUES (:hour_start_ms, :user_id, :key_id, :code, :count) "
    "ON CONFLICT (hour_start_ms, user_id, key_id, code) DO UPDATE SET count = refusal_hours.count + excluded.count"
)


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """How often one key was refused for one reason. '' as ids: callers without a valid key. 'other': too many different
    ones at a time. Names are None for these, and for what no longer exists.
    """

    user_id: str
    user: str | None
    key_id: str
    key: str | None
    code: str
    count: int


def add_refusals(engine: Engine, counts: Mapping[RefusalPlace, int]) -> None:
    """Adds them, in the order of their keys, in which all processes lock them. Raises StoreUnavailable."""
    values = [{**place._asdict(), "count": number} for place, number in sorted(counts.items())]
    with writing(engine) as connection:
        connection.execute(_ADD, values)


def refusal_report(
    connection: Connection,
    since: datetime | None = None,
    until: datetime | None = None,
    whose: ColumnElement[bool] | None = None,
) -> Iterator[RefusedRow]:
    """The sums of the hours from that of `since` on and before `until`, the most frequent first. `whose` bounds the
    users and keys.
    """
    count = cast(func.sum(_rows.count), BigInteger).label("refused")
    joined = refusal_hours.outerjoin(users, _rows.user_id == users.c.id).outerjoin(keys, _rows.key_id == keys.c.id)
    group = (_rows.user_id, users.c.name, _rows.key_id, keys.c.name, _rows.code)
    query = (
        select(*group, count)
        .select_from(joined)
        .where(true() if whose is None else whose)
        .group_by(*group)
        .order_by(count.desc(), _rows.user_id, _rows.key_id, _rows.code)
    )
    if since is not None:
        query = query.where(_rows.hour_start_ms >= to_ms(since) // HOUR_MS * HOUR_MS)
    if until is not None:
        query = query.where(_rows.hour_start_ms < to_ms(until))
    for row in connection.execute(query):
        yield RefusedRow(*row)


def count_old_refusals(connection: Connection, cutoff: datetime) -> int:
    """How many rows are from before `cutoff`."""
    return connection.execute(select(func.count()).where(_rows.hour_start_ms < to_ms(cutoff))).scalar_one()


def prune_refusals(engine: Engine, cutoff: datetime) -> Iterator[int]:
    """Deletes the rows from before `cutoff`, one day per step taken, and yields how many. Raises StoreUnavailable."""
    while True:
        with reading(engine) as connection:
            oldest_ms = connection.execute(select(func.min(_rows.hour_start_ms))).scalar()
        if oldest_ms is None or oldest_ms >= to_ms(cutoff):
            return
        end_ms = min(oldest_ms // DAY_MS * DAY_MS + DAY_MS, to_ms(cutoff))
        with writing(engine) as connection:
            deleted = connection.execute(delete(refusal_hours).where(_rows.hour_start_ms < end_ms)).rowcount
        yield deleted
