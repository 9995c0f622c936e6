"""Retention: decides what may be pruned, and prunes: deletes old reservations, some hundred at a time.

Their totals were written with their resolutions and stay. Counters and reports read these, so a prune changes neither.
Every function blocks. Nothing here runs by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, and_, delete, func, insert, select, text, update

from app.database.changes import Change, lock_changes, record_change
from app.database.clock import from_ms, to_ms
from app.database.engine import reading, writing
from app.database.schema import ledger_tables, total_tables
from app.quotas.rules.windows import DAY_MS, HOUR_MS

MIN_AGE = timedelta(days=35)
"""Records younger than this stay. A month has at most 31 days, and its counter is kept for 2 more. Whole days cost one
day; different clocks may cost one. So while a limit's window is open, and for a while after, its records are still
there.
"""

RECORDS_MAX = 500
"""Records per transaction: about a tenth of a second in which an SQLite database takes no reservation."""

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)

_rows = ledger_tables.reservations.c
_days = total_tables.usage_days
_pruning = total_tables.pruning

_IS_RESOLVED = text("state <> 'pending'")


@dataclass(frozen=True, slots=True)
class Prunable:
    """What a prune would do now: `records` are deleted; `pending` ones are old enough but stay."""

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
    """Deletes resolved reservations made before `cutoff`, one transaction per step taken.

    `cutoff` is the beginning of a UTC day. The change is recorded before anything is deleted. A prune may be stopped,
    killed and repeated at any moment. Pending reservations stay; once they are resolved, the next prune deletes them.
    Raises StoreUnavailable.
    """
    assert to_ms(cutoff) % DAY_MS == 0, "days are pruned whole"
    with reading(engine) as connection:
        before = {"records": find_prunable(connection, cutoff).records}
    if not before["records"]:
        return
    with writing(engine) as connection:
        lock_changes(connection)
        record_change(connection, change, "ledger.prune", f"records before {cutoff:%Y-%m-%d}", before, None)
        _move_horizon(connection, to_ms(cutoff))
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
        connection.execute(delete(ledger_tables.corrections).where(ledger_tables.corrections.c.reservation_id.in_(ids)))
        deleted = connection.execute(delete(ledger_tables.reservations).where(_rows.id.in_(ids))).rowcount
        if deleted != len(ids):
            raise RuntimeError(f"{deleted} records deleted instead of {len(ids)}")
    return Pruned(len(ids), from_ms(max(row.reserved_at_ms for row in found)))


def pruned_until(connection: Connection) -> datetime | None:
    """Records made before this moment may be gone; None if nothing was ever pruned."""
    found = connection.execute(select(_pruning.c.until_ms)).scalar()
    return None if found is None else from_ms(found)


def split_total(connection: Connection, moment: datetime) -> tuple[datetime, timedelta] | None:
    """The beginning and the length of the total that `moment` would split although nothing smaller is left; None if it
    splits none.
    """
    at_ms = to_ms(moment)
    day_ms, hour_ms = at_ms // DAY_MS * DAY_MS, at_ms // HOUR_MS * HOUR_MS
    has_no_hours = select(_days.c.day_start_ms).where(_days.c.day_start_ms == day_ms, _days.c.operation == "").limit(1)
    if at_ms != day_ms and connection.execute(has_no_hours).first() is not None:
        return from_ms(day_ms), _DAY
    horizon = pruned_until(connection)
    if at_ms != hour_ms and horizon is not None and moment < horizon:
        return from_ms(hour_ms), _HOUR
    return None


def _move_horizon(connection: Connection, until_ms: int) -> None:
    """It never moves back: what was pruned is gone."""
    moved = update(_pruning).where(_pruning.c.until_ms < until_ms).values(until_ms=until_ms)
    if not connection.execute(moved).rowcount and connection.execute(select(_pruning.c.id)).first() is None:
        connection.execute(insert(_pruning).values(id=1, until_ms=until_ms))
