"""Threshold events that the webhook has not received yet: taken under a lease and finished.

SQL away from the hot path, through SQLAlchemy; the ledger writes the events. Every function blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, and_, literal_column, select, update

from app.database.clock import to_ms
from app.database.engine import reading, writing
from app.database.owner_name import owner_name_sql
from app.database.schema import limit_tables
from app.quotas.rules.thresholds import EVENT_AGE_MAX, NamedThresholdEvent, ThresholdEvent

_table = limit_tables.threshold_events
_rows = _table.c


@dataclass(frozen=True, slots=True)
class DueEvent:
    """An event to be sent now. `tries` counts this one."""

    id: int
    tries: int
    named_event: NamedThresholdEvent


def take_due(engine: Engine, now: datetime, lease: timedelta, most: int) -> list[DueEvent]:
    """At most `most` due events, the oldest first. Nobody else gets them until `lease` has passed, so the events of a
    process that dies are sent by others. Raises StoreUnavailable.
    """
    now_ms, oldest_ms = to_ms(now), to_ms(now - EVENT_AGE_MAX)
    is_due = and_(_rows.next_try_at_ms <= now_ms, _rows.crossed_at_ms >= oldest_ms)
    with reading(engine) as connection:  # mostly nothing is due, and then no writer has to wait
        if connection.execute(select(_rows.id).where(is_due).limit(1)).first() is None:
            return []
    query = (
        select(_table, literal_column(owner_name_sql(_table.name)).label("name"))
        .where(is_due)
        .order_by(_rows.next_try_at_ms, _rows.id)
        .limit(most)
        .with_for_update(of=_table, skip_locked=True)
    )
    with writing(engine) as connection:
        found = connection.execute(query).all()
        leased = {"tries": _rows.tries + 1, "next_try_at_ms": to_ms(now + lease)}
        connection.execute(update(_table).where(_rows.id.in_([row.id for row in found])).values(leased))
    return [
        DueEvent(
            row.id,
            row.tries + 1,
            NamedThresholdEvent(ThresholdEvent(*(getattr(row, column) for column in ThresholdEvent._fields)), row.name),
        )
        for row in found
    ]


def finish_tries(engine: Engine, ends: Sequence[tuple[DueEvent, datetime | None]]) -> None:
    """Ends tries: the event is tried again at the given time, or never (None). An event whose lease has passed, and
    that another process has taken, is left alone. Raises StoreUnavailable.
    """
    with writing(engine) as connection:
        for event, next_try_at in ends:
            mine = and_(_rows.id == event.id, _rows.tries == event.tries)
            next_try_at_ms = None if next_try_at is None else to_ms(next_try_at)
            connection.execute(update(_table).where(mine).values(next_try_at_ms=next_try_at_ms))
