"""Retention: decides what may be pruned, and prunes: old reservations become daily totals, some hundred at a time.

Knows what a daily total contains. Every counter and report adds totals to the remaining reservations, so a prune
changes neither. Every function blocks. Nothing here runs by itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Engine, and_, bindparam, delete, func, select, text
from sqlalchemy.sql.elements import TextClause

from app.database.changes import Change, lock_changes, record_change
from app.database.clock import from_ms, to_ms
from app.database.engine import reading, writing
from app.database.schema import ledger_tables, total_tables
from app.quotas.ledger.corrections import COUNTS
from app.quotas.rules.windows import DAY_MS

MIN_AGE = timedelta(days=35)
"""Records younger than this stay. A month has at most 31 days, and its counter is kept for 2 more. Whole days cost one
day; different clocks may cost one. So while a limit's window is open, and for a while after, its records are still
there.
"""

RECORDS_MAX = 500
"""Records per transaction: about a tenth of a second in which an SQLite database takes no reservation."""

_DAY = timedelta(days=1)

_rows = ledger_tables.reservations.c
_days = total_tables.usage_days

_IS_RESOLVED = text("state <> 'pending'")

# A daily total: its key, then its sums, each with its expression over reservations.
_KEY = {
    "day_start_ms": f"reserved_at_ms / {DAY_MS} * {DAY_MS}",
    "key_id": "key_id",
    "user_id": "user_id",
    "team_id": "COALESCE(team_id, '')",
    "model": "model",
    "account": "account",
}
_SUMS = {
    "requests": "COUNT(*)",
    "released": "COUNT(CASE WHEN charged_requests = 0 THEN 1 END)",
    "refused": "COUNT(CASE WHEN charged_requests = 1 AND usage_source = 'none' THEN 1 END)",
    "estimated": "COUNT(CASE WHEN usage_source = 'estimated' THEN 1 END)",
    "unpriced": "COUNT(CASE WHEN NOT priced AND usage_source <> 'none' THEN 1 END)",
    **{
        name: f"COALESCE(SUM({name}), 0)"
        for name in (
            *(f"charged_{unit}" for unit in ("requests", "images", "tokens", "nanousd")),
            *(f"{kind}_tokens" for kind in ("input_text", "input_image", "output_text", "output_image")),
        )
    },
}
_CORRECTED_SUMS = _SUMS | {name: f"SUM({each})" for name, each in COUNTS.items()}


def _adding_up(sums: Mapping[str, str], table: str, id_column: str) -> TextClause:
    """Adds rows of a table to their days' totals."""
    return text(
        f"INSERT INTO usage_days ({', '.join((*_KEY, *sums))}) "  # noqa: S608 - names of ours
        f"SELECT {', '.join((*_KEY.values(), *sums.values()))} FROM {table} WHERE {id_column} IN :ids "
        f"GROUP BY 1, 2, 3, 4, 5, 6 ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET "
        + ", ".join(f"{name} = usage_days.{name} + excluded.{name}" for name in sums)
    ).bindparams(bindparam("ids", expanding=True))


_ADD_UP = _adding_up(_SUMS, "reservations", "id")
_ADD_CORRECTIONS_UP = _adding_up(_CORRECTED_SUMS, "corrections", "reservation_id")


@dataclass(frozen=True, slots=True)
class Prunable:
    """What a prune would do now: `records` become totals; `pending` ones are old enough but stay."""

    records: int
    pending: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one transaction of a prune did. `reached` is when the youngest of its records was made."""

    records: int
    reached: datetime


def cutoff_of(now: datetime, older_than: timedelta) -> datetime:
    """The first moment whose records stay: only whole UTC days are pruned. Raises ValueError below MIN_AGE."""
    if older_than < MIN_AGE:
        raise ValueError(
            f"records are kept for at least {MIN_AGE.days} days, so that the limits' windows and late settlements "
            f"find them; write {MIN_AGE.days}d or more."
        )
    return from_ms(to_ms(now - older_than) // DAY_MS * DAY_MS)


def find_prunable(connection: Connection, cutoff: datetime) -> Prunable:
    """The number of records to prune before `cutoff`."""
    old = _rows.reserved_at_ms < to_ms(cutoff)
    records = connection.execute(select(func.count()).where(old)).scalar_one()
    pending = connection.execute(select(func.count()).where(old, ledger_tables.IS_PENDING)).scalar_one()
    return Prunable(records - pending, pending)


def prune(engine: Engine, cutoff: datetime, change: Change, records_max: int = RECORDS_MAX) -> Iterator[Pruned]:
    """Turns resolved reservations made before `cutoff` into daily totals, one transaction per step taken.

    `cutoff` is the beginning of a UTC day. The change is recorded before anything is deleted. A prune may be stopped,
    killed and repeated at any moment: each record is in exactly one of the two tables. Pending reservations stay; once
    they are resolved, the next prune adds them. Raises StoreUnavailable.
    """
    assert to_ms(cutoff) % DAY_MS == 0, "days are pruned whole"
    with reading(engine) as connection:
        before = {"records": find_prunable(connection, cutoff).records}
    if not before["records"]:
        return
    with writing(engine) as connection:
        lock_changes(connection)
        record_change(connection, change, "ledger.prune", f"records before {cutoff:%Y-%m-%d}", before, None)
    position = 0
    while (step := _prune_some(engine, position, to_ms(cutoff), records_max)) is not None:
        yield step
        position = to_ms(step.reached)


def _prune_some(engine: Engine, position: int, cutoff: int, records_max: int) -> Pruned | None:
    """Prunes the oldest records from `position` on. The lock on changes allows one prune at a time. After that it takes
    its locks in the writers' order (store.py).
    """
    is_old = and_(_rows.reserved_at_ms >= position, _rows.reserved_at_ms < cutoff, _IS_RESOLVED)
    oldest = select(_rows.id).where(is_old).order_by(_rows.reserved_at_ms).limit(records_max)
    locked = select(_rows.id, _rows.reserved_at_ms).where(_rows.id.in_(oldest)).order_by(_rows.id).with_for_update()
    with writing(engine) as connection:
        lock_changes(connection)
        found = connection.execute(locked).all()
        if not found:
            return None
        ids = [row.id for row in found]
        connection.execute(_ADD_UP, {"ids": ids})
        connection.execute(_ADD_CORRECTIONS_UP, {"ids": ids})
        connection.execute(delete(ledger_tables.corrections).where(ledger_tables.corrections.c.reservation_id.in_(ids)))
        deleted = connection.execute(delete(ledger_tables.reservations).where(_rows.id.in_(ids))).rowcount
        if deleted != len(ids):
            raise RuntimeError(f"{deleted} records deleted instead of {len(ids)}")
    return Pruned(len(ids), from_ms(max(row.reserved_at_ms for row in found)))


def pruned_until(connection: Connection) -> datetime | None:
    """The end of the most recent day that has totals; None if nothing was ever pruned. A record from before it that is
    missing may be in a total.
    """
    youngest = connection.execute(select(func.max(_days.c.day_start_ms))).scalar_one()
    return None if youngest is None else from_ms(youngest) + _DAY


def splits_a_total(connection: Connection, moment: datetime) -> datetime | None:
    """The day whose totals `moment` would split; None if it splits none."""
    day_ms = to_ms(moment) // DAY_MS * DAY_MS
    if day_ms == to_ms(moment):
        return None
    there: ColumnElement[bool] = _days.c.day_start_ms == day_ms
    found = connection.execute(select(_days.c.day_start_ms).where(there).limit(1)).first()
    return None if found is None else from_ms(day_ms)
