"""Sets, lists and removes limits: SQL in the caller's transaction, each change recorded.

Limits are changed under a lock that waits for the running batches. So no reservation is counted by a limit that is
gone, or missed by a new one.
"""

from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, select, text, true, update

from app.database.changes import Change, lock_changes, record_change
from app.database.clock import from_ms, to_ms
from app.database.schema import limit_tables
from app.errors import NotFound
from app.quotas.rules.limits import Limit, Scope, Unit, Window, format_limit

_limits = limit_tables.limits


def limits_where(connection: Connection, condition: ColumnElement[bool]) -> list[Limit]:
    """Limits by scope, id, and then in the order they were first set in."""
    table = limit_tables.limits
    rows = connection.execute(select(table).where(condition).order_by(table.c.scope, table.c.scope_id, table.c.id))
    return [limit_of(row) for row in rows]


def limit_of(row: Row[Any]) -> Limit:
    """The limit in a row of the table."""
    return Limit(
        *(Unit(row.unit), row.amount, Window(row.window), Scope(row.scope), row.scope_id, row.model, row.shadow),
        *(row.raised_amount, row.raised_until_ms),
    )


def managed_by_of(connection: Connection, limit: Limit) -> str | None:
    """The mark of the file that sets the limit with this scope, unit, window and model; None if none does."""
    return connection.execute(select(_limits.c.managed_by).where(_is(limit))).scalar()


def set_limit(connection: Connection, limit: Limit, *, change: Change) -> None:
    """Sets a limit, or changes the amount, the raise and the shadow flag of the one with the same scope, unit, window
    and model.

    Usage counts from the window's beginning, even if there was no limit then. Changes nothing when it is so already.
    """
    lock_limits(connection)
    before = _find(connection, limit)
    if before == limit:
        return
    if before is None:
        connection.execute(insert(_limits).values(**_values(limit), created_at_ms=to_ms(change.now)))
    else:
        connection.execute(update(_limits).where(_is(limit)).values(**_values(limit)))
    record_change(connection, change, "limit.set", limit_target(limit), shown_limit(before), shown_limit(limit))


def list_limits(connection: Connection, scope: Scope | None = None, scope_id: str | None = None) -> list[Limit]:
    """All limits, those of one scope, or those of one id in it; ordered by scope and id."""
    condition: ColumnElement[bool] = true()
    if scope is not None:
        condition = and_(condition, _limits.c.scope == scope.value)
    if scope_id is not None:
        condition = and_(condition, _limits.c.scope_id == scope_id)
    return limits_where(connection, condition)


def remove_limit(connection: Connection, limit: Limit, *, change: Change) -> None:
    """Removes the limit with the scope, unit, window and model of `limit`, whatever its amount.

    Raises NotFound if there is none. Also deletes the counters that only this limit used, because nothing would keep
    them right. The usage itself stays in the reservations.
    """
    lock_limits(connection)
    before = _find(connection, limit)
    if before is None:
        raise NotFound(f"There is no such limit on {limit_target(limit)}; `limits list` shows those that are.")
    connection.execute(delete(_limits).where(_is(limit)))
    others = list_limits(connection, limit.scope, limit.scope_id)
    look = (limit.model, limit.counter_window)
    if look not in {(other.model, other.counter_window) for other in others}:
        counters = limit_tables.counters.c
        connection.execute(
            delete(limit_tables.counters).where(
                counters.scope == limit.scope.value,
                counters.scope_id == limit.scope_id,
                counters.model == limit.model,
                counters.window == limit.counter_window.value,
            )
        )
    record_change(connection, change, "limit.remove", limit_target(limit), shown_limit(before), None)


def copy_defaults(connection: Connection, user_id: str, change: Change) -> list[Limit]:
    """Gives a new user a copy of every `default` limit; returns the copies. Later changes of the defaults do not affect
    them.
    """
    copies = [
        Limit(limit.unit, limit.amount, limit.window, Scope.USER, user_id, limit.model, limit.shadow)
        for limit in list_limits(connection, Scope.DEFAULT)
    ]
    for copy in copies:
        set_limit(connection, copy, change=change)
    return copies


def lock_limits(connection: Connection) -> None:
    """Waits for the ledger's running batches, and blocks new ones until this transaction ends."""
    lock_changes(connection)
    if connection.dialect.name == "postgresql":
        # The writers hold ROW SHARE (store.py). On SQLite the one write lock is held already.
        connection.execute(text("LOCK TABLE limits IN EXCLUSIVE MODE"))


def _is(limit: Limit) -> ColumnElement[bool]:
    return and_(
        _limits.c.scope == limit.scope.value,
        _limits.c.scope_id == limit.scope_id,
        _limits.c.unit == limit.unit.value,
        _limits.c.window == limit.window.value,
        _limits.c.model == limit.model,
    )


def _find(connection: Connection, limit: Limit) -> Limit | None:
    found = limits_where(connection, _is(limit))
    return found[0] if found else None


def _values(limit: Limit) -> dict[str, object]:
    return {
        "scope": limit.scope.value,
        "scope_id": limit.scope_id,
        "unit": limit.unit.value,
        "window": limit.window.value,
        "model": limit.model,
        "amount": limit.amount,
        "shadow": limit.shadow,
        "raised_amount": limit.raised_amount,
        "raised_until_ms": limit.raised_until_ms,
    }


def limit_target(limit: Limit) -> str:
    """What the list of changes calls its owner."""
    return f"{limit.scope} {limit.scope_id}".strip()


def shown_limit(limit: Limit | None) -> dict[str, object] | None:
    """As the list of changes has it."""
    if limit is None:
        return None
    shown: dict[str, object] = {"limit": format_limit(limit), "shadow": limit.shadow}
    if limit.raised_amount is not None and limit.raised_until_ms is not None:
        raised = replace(limit, amount=limit.raised_amount)
        shown |= {"raised": format_limit(raised), "until": from_ms(limit.raised_until_ms).isoformat()}
    return shown
