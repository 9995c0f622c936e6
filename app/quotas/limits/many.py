"""Limits, many at once, as a file wants them, and who sets each. One line in the list of changes for each.

In the caller's transaction, which holds the lock on changes since it read what is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from app.database.changes import Change, Values, record_changes, write_rows
from app.database.clock import to_ms
from app.database.schema.limit_tables import limits
from app.quotas.limits.manage import limit_of, limit_target, lock_limits, remove_limit, shown_limit
from app.quotas.rules.limits import Limit, Scope


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A limit, and the mark of the file that sets it. `id` None: it is not in the database."""

    id: int | None
    limit: Limit
    managed_by: str | None


def read_limits(connection: Connection, scope: Scope | None = None, scope_id: str | None = None) -> list[LimitRow]:
    """All limits, or those of one owner, by scope, id, and then in the order they were first set in."""
    wanted = select(limits).order_by(limits.c.scope, limits.c.scope_id, limits.c.id)
    if scope is not None:
        wanted = wanted.where(limits.c.scope == scope.value, limits.c.scope_id == scope_id)
    return [LimitRow(row.id, limit_of(row), row.managed_by) for row in connection.execute(wanted)]


def limit_with_id(connection: Connection, limit_id: int) -> LimitRow | None:
    """The limit with this id, or None."""
    row = connection.execute(select(limits).where(limits.c.id == limit_id)).one_or_none()
    return None if row is None else LimitRow(row.id, limit_of(row), row.managed_by)


def write_limits(
    connection: Connection, steps: Sequence[tuple[LimitRow | None, LimitRow | None]], change: Change
) -> None:
    """Sets, changes or removes limits: each is given as it is (None: it is new) and as it is to be (None: removed)."""
    if not steps:
        return
    lock_limits(connection)
    new: list[dict[str, object]] = []
    changed: list[tuple[object, dict[str, object]]] = []
    lines: list[tuple[str, str, Values | None, Values | None]] = []
    for was, now in steps:
        if now is None:
            assert was is not None
            remove_limit(connection, was.limit, change=change)  # with its counters; these are few
            continue
        limit = now.limit
        values: dict[str, object] = {"amount": limit.amount, "shadow": limit.shadow, "managed_by": now.managed_by}
        if was is None:
            place = {
                "scope": limit.scope.value,
                "scope_id": limit.scope_id,
                "unit": limit.unit.value,
                "window": limit.window.value,
                "model": limit.model,
            }
            new.append(values | place | {"created_at_ms": to_ms(change.now)})
        else:
            changed.append((was.id, values))
        lines.append(("limit.set", limit_target(limit), _shown(was), _shown(now)))
    write_rows(connection, limits, new, changed)
    record_changes(connection, change, lines)


def _shown(row: LimitRow | None) -> dict[str, object] | None:
    shown = None if row is None else shown_limit(row.limit)
    return None if row is None or shown is None else shown | {"managed_by": row.managed_by}
