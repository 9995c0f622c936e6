"""The list of administrative changes, which the database protects, and the revision that running gateways check.

Knows nothing of what is changed. The other rooms make `before` and `after`, without secrets or hashes.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, bindparam, func, insert, or_, select, update

from app.database.clock import from_ms, to_ms
from app.database.schema import change_tables

Values = Mapping[str, object]

_ACTOR_LENGTH_MAX = 120  # the width of the column; PostgreSQL would refuse more
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Change:
    """Who makes a change, when, and the source of new ids: each call of `new_id` gives a new random word."""

    actor: str
    now: datetime
    new_id: Callable[[], str]


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """One line of the list of changes."""

    id: int
    at: datetime
    actor: str
    action: str
    target: str
    before: Values | None
    after: Values | None


def lock_changes(connection: Connection) -> None:
    """Makes other administrative changes wait until this transaction ends. Call it before reading what the change
    depends on.

    So the answer to "does it exist already?" stays true until the change is made, and changes cannot deadlock.
    """
    connection.execute(select(change_tables.revision.c.value).with_for_update()).one()


def read_revision(connection: Connection) -> int:
    """The number that every change raises."""
    return int(connection.execute(select(change_tables.revision.c.value)).scalar_one())


def record_change(
    connection: Connection, change: Change, action: str, target: str, before: Values | None, after: Values | None
) -> None:
    """Adds one line to the list and raises the revision, in the transaction of the change itself."""
    record_changes(connection, change, [(action, target, before, after)])


def record_changes(
    connection: Connection, change: Change, lines: Sequence[tuple[str, str, Values | None, Values | None]]
) -> None:
    """The same for many changes at once: each is (action, target, before, after)."""
    if not lines:
        return
    who = {"at_ms": to_ms(change.now), "actor": change.actor[:_ACTOR_LENGTH_MAX]}
    rows = [
        {**who, "action": action, "target": target, "before": _to_json(before), "after": _to_json(after)}
        for action, target, before, after in lines
    ]
    connection.execute(insert(change_tables.admin_events), rows)
    connection.execute(update(change_tables.revision).values(value=change_tables.revision.c.value + len(rows)))


def write_rows(
    connection: Connection, table: Table, new: Sequence[Values], changed: Sequence[tuple[object, Values]]
) -> None:
    """Inserts the new rows; gives each changed one, by its `id`, the given values. All changed rows have the same
    columns.
    """
    if new:
        connection.execute(insert(table), [dict(row) for row in new])
    if changed:
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in changed[0][1]}
        rows = [{"row_id": row_id, **{f"new_{name}": value for name, value in row.items()}} for row_id, row in changed]
        connection.execute(update(table).where(table.c.id == bindparam("row_id")).values(values), rows)


def differing(before: Values, after: Values) -> tuple[Values, Values]:
    """The parts of both that are not the same in both."""
    names = [name for name, value in after.items() if before.get(name) != value]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which changes to list. None means any. `since` is included, `until` is not.

    `actor` is any part of the name. `target` is an id: lists what was done to it, and to limits on it. `targets`, as
    the list has them, and no other. `before_id`: older ones than that.
    """

    since: datetime | None = None
    until: datetime | None = None
    actor: str | None = None
    target: str | None = None
    targets: frozenset[str] | None = None
    action: str | None = None
    before_id: int | None = None


def list_changes(connection: Connection, limit: int, wanted: Wanted = Wanted()) -> Iterator[RecordedChange]:
    """The newest `limit` matching changes, newest first, with one page in memory at a time. Read them inside the
    transaction.
    """
    table = change_tables.admin_events
    query = select(table).order_by(table.c.id.desc()).limit(limit)
    if wanted.since is not None:
        query = query.where(table.c.at_ms >= to_ms(wanted.since))
    if wanted.until is not None:
        query = query.where(table.c.at_ms < to_ms(wanted.until))
    if wanted.action is not None:
        query = query.where(table.c.action == wanted.action)
    if wanted.targets is not None:
        query = query.where(table.c.target.in_(sorted(wanted.targets)))
    if wanted.before_id is not None:
        query = query.where(table.c.id < wanted.before_id)
    if wanted.actor is not None:
        query = query.where(table.c.actor.icontains(wanted.actor, autoescape=True))
    if wanted.target is not None:
        on_it = table.c.target.endswith(f" {wanted.target}", autoescape=True)  # a limit's target is `user user_1 …`
        query = query.where(or_(table.c.target == wanted.target, on_it))
    for row in connection.execute(query, execution_options={"yield_per": _PAGE}):
        yield _change_of(row)


def newest_change(connection: Connection) -> int:
    """The id of the newest line of the list; 0 while it is empty."""
    return int(connection.execute(select(func.max(change_tables.admin_events.c.id))).scalar_one() or 0)


def changes_after(connection: Connection, change_id: int) -> list[RecordedChange]:
    """The lines that were added after this one, oldest first."""
    table = change_tables.admin_events
    rows = connection.execute(select(table).where(table.c.id > change_id).order_by(table.c.id))
    return [_change_of(row) for row in rows]


def _change_of(row: Row[Any]) -> RecordedChange:
    return RecordedChange(
        id=row.id,
        at=from_ms(row.at_ms),
        actor=row.actor,
        action=row.action,
        target=row.target,
        before=_from_json(row.before),
        after=_from_json(row.after),
    )


def _to_json(values: Values | None) -> str | None:
    return None if values is None else json.dumps(values, sort_keys=True, ensure_ascii=False)


def _from_json(text: str | None) -> Values | None:
    if text is None:
        return None
    values: Values = json.loads(text)
    return values
