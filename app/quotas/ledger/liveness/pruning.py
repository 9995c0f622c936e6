"""Deletes what ended days ago and is no longer needed: counters of past windows, and threshold events that will not be
sent.

Uses SQLAlchemy, away from the hot path; deletes a bounded number of rows per call. Every function blocks.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Engine, Table, and_, delete, or_, select, tuple_

from app.database.clock import to_ms
from app.database.engine import reading, writing
from app.database.schema import limit_tables
from app.quotas.rules.counters import CounterKey
from app.quotas.rules.limits import Window
from app.quotas.rules.thresholds import EVENT_AGE_MAX
from app.quotas.rules.windows import span_ms

_PRUNE_MAX = 1000
_PRUNE_AFTER = timedelta(days=2)


def prune_counters(engine: Engine, now: datetime) -> None:
    """Deletes counters of windows that ended days ago.

    Nothing is lost: if a very late settlement, or a clock that was set back, needs one, it is made again from its
    reservations.
    """
    table = limit_tables.counters
    keys = tuple_(*(table.c[name] for name in CounterKey._fields))
    query = select(*keys.clauses).where(_has_ended(table, now)).limit(_PRUNE_MAX)
    with reading(engine) as connection:
        old = [tuple(row) for row in connection.execute(query)]
    if old:
        # In the order in which the writers lock counters, so that there is no deadlock.
        with writing(engine) as connection:
            for key in sorted(old):
                connection.execute(delete(table).where(keys == tuple_(*key)))


def prune_events(engine: Engine, now: datetime) -> None:
    """Deletes threshold events of windows that ended days ago and that are not to be sent any more.

    Those of `total` stay for ever, because they happen once.
    """
    table = limit_tables.threshold_events
    rows = table.c
    is_finished = or_(rows.next_try_at_ms.is_(None), rows.crossed_at_ms < to_ms(now - EVENT_AGE_MAX))
    query = select(rows.id).where(_has_ended(table, now), is_finished).order_by(rows.id).limit(_PRUNE_MAX)
    with reading(engine) as connection:
        old = list(connection.execute(query).scalars())
    if old:
        with writing(engine) as connection:
            # Several processes may clean up at the same time; this prevents a deadlock.
            free = select(rows.id).where(rows.id.in_(old)).with_for_update(skip_locked=True)
            connection.execute(delete(table).where(rows.id.in_(list(connection.execute(free).scalars()))))


def _has_ended(table: Table, now: datetime) -> ColumnElement[bool]:
    """Whether a row's window ended days ago. Windows without an end never do."""
    long_ago_ms = to_ms(now - _PRUNE_AFTER)
    return or_(
        *(
            and_(table.c.window == window.value, table.c.window_start_ms < span_ms(window, long_ago_ms)[0])
            for window in Window
            if window not in (Window.TOTAL, Window.NOW)
        )
    )
