"""Threshold events that a webhook has not been told yet: taken under a lease, finished, and cleaned up when old.

SQL beside the hot path, through SQLAlchemy; the ledger writes the events. Every function blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, and_, delete, func, or_, select, update

from app.database import schema
from app.database.clock import to_ms
from app.database.engine import reading, writing
from app.quotas.rules.limits import Scope, Window
from app.quotas.rules.thresholds import NamedThresholdEvent, ThresholdEvent
from app.quotas.rules.windows import span_ms

NEWS_AGE_MAX = timedelta(days=2)
"""Older events are not sent any more: a webhook that was set up again must not tell of last month."""

_PRUNE_MAX = 1000
_PRUNE_AFTER = timedelta(days=2)

_table = schema.threshold_events
_rows = _table.c


@dataclass(frozen=True, slots=True)
class DueEvent:
    """An event to be sent now. `tries` counts this one."""

    id: int
    tries: int
    named_event: NamedThresholdEvent


def take_due(engine: Engine, now: datetime, lease: timedelta, most: int) -> list[DueEvent]:
    """At most `most` due events, the oldest first. Nobody else is given them until `lease` has passed; a process that
    dies with them leaves them to others. Raises StoreUnavailable."""
    now_ms, oldest_ms = to_ms(now), to_ms(now - NEWS_AGE_MAX)
    is_due = and_(_rows.next_try_at_ms <= now_ms, _rows.crossed_at_ms >= oldest_ms)
    with reading(engine) as connection:  # mostly there is nothing, and then no writer is made to wait
        if connection.execute(select(_rows.id).where(is_due).limit(1)).first() is None:
            return []
    users, teams = schema.users, schema.teams
    query = (
        select(
            _table, func.coalesce(users.c.name, teams.c.name, func.nullif(_rows.scope_id, ""), "gateway").label("name")
        )
        .outerjoin(users, and_(_rows.scope == Scope.USER.value, users.c.id == _rows.scope_id))
        .outerjoin(teams, and_(_rows.scope == Scope.TEAM.value, teams.c.id == _rows.scope_id))
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
    """Gives events back: to be tried again then, or, with None, never. One whose lease has passed, and that somebody
    else has taken since, is left alone. Raises StoreUnavailable."""
    with writing(engine) as connection:
        for event, next_try_at in ends:
            mine = and_(_rows.id == event.id, _rows.tries == event.tries)
            next_try_at_ms = None if next_try_at is None else to_ms(next_try_at)
            connection.execute(update(_table).where(mine).values(next_try_at_ms=next_try_at_ms))


def prune_events(engine: Engine, now: datetime) -> None:
    """Deletes events of windows that ended days ago and that nobody is to be told of any more, a bounded number a call.

    Those of `total` stay for ever: they happen once.
    """
    long_ago = now - _PRUNE_AFTER
    ended = or_(
        *(
            and_(_rows.window == window.value, _rows.window_start_ms < span_ms(window, to_ms(long_ago))[0])
            for window in Window
            if window not in (Window.TOTAL, Window.NOW)
        )
    )
    is_finished = or_(_rows.next_try_at_ms.is_(None), _rows.crossed_at_ms < to_ms(now - NEWS_AGE_MAX))
    query = select(_rows.id).where(ended, is_finished).order_by(_rows.id).limit(_PRUNE_MAX)
    with reading(engine) as connection:
        old = list(connection.execute(query).scalars())
    if old:
        with writing(engine) as connection:
            # Several processes clean up at a time, and must not wait for each other in a circle.
            free = select(_rows.id).where(_rows.id.in_(old)).with_for_update(skip_locked=True)
            connection.execute(delete(_table).where(_rows.id.in_(list(connection.execute(free).scalars()))))
