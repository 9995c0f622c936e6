"""The limits whose use comes nearest to their amount now, without a look at the others. Reads only."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal, or_, select

from app.database.clock import to_ms
from app.database.schema import limit_tables
from app.quotas.limits.manage import limits_where
from app.quotas.reports.limit_status import LimitStatus, limit_statuses
from app.quotas.rules.limits import Scope, Unit, Window
from app.quotas.rules.windows import span_ms

_limits, _counters = limit_tables.limits.c, limit_tables.counters.c


def nearest_limits(
    connection: Connection, count: int, now: datetime, condition: ColumnElement[bool] | None = None
) -> list[LimitStatus]:
    """At most `count` limits, the fullest first. A limit that nobody used in its window is not among them."""
    window = case((_limits.window == Window.NOW.value, Window.TOTAL.value), else_=_limits.window)
    query = (
        select(_limits.id)
        .join_from(
            limit_tables.limits,
            limit_tables.counters,
            and_(
                _counters.scope == _limits.scope,
                _counters.scope_id == _limits.scope_id,
                _counters.model == _limits.model,
                _counters.window == window,
                or_(*_present_windows(now)),
            ),
        )
        .where(_limits.scope != Scope.DEFAULT.value, _used() > 0, *(() if condition is None else (condition,)))
        .order_by((_used() * 1.0 / func.nullif(_limits.amount, 0)).desc().nulls_first(), _limits.id)
        .limit(count)
    )
    ids = connection.execute(query).scalars().all()
    found = limit_statuses(connection, limits_where(connection, _limits.id.in_(ids)), now)
    return sorted(found, key=lambda status: -(status.used / status.limit.amount if status.limit.amount else 1.0))


def _used() -> ColumnElement[int]:
    names = {Unit.REQUESTS: "requests", Unit.IMAGES: "images", Unit.TOKENS: "tokens", Unit.USD: "nanousd"}
    whole = [
        (_limits.unit == unit.value, _counters[f"settled_{name}"] + _counters[f"pending_{name}"])
        for unit, name in names.items()
    ]
    return case(*whole, else_=_counters.pending_requests)


def _present_windows(now: datetime) -> Iterator[ColumnElement[bool]]:
    now_ms = to_ms(now)
    for window in Window:
        if window is not Window.NOW:
            yield and_(
                _counters.window == window.value, _counters.window_start_ms == literal(span_ms(window, now_ms)[0])
            )
