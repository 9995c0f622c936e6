"""Finds attempts in the database that a request may be answered with: some of one key, by an index. Every function
blocks."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Row,
    RowMapping,
    Select,
    delete,
    select,
    text,
    tuple_,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from app.database.engine import reading, writing
from app.database.schema import ledger_tables, replay_tables
from app.quotas.ledger.attempts.rows import AttemptRow
from app.quotas.ledger.liveness.heartbeat import overdue_at, store_now_ms

_FOUND_MAX = 50
_PRUNE_MAX = 1000

_attempts = replay_tables.attempts
_reservations = ledger_tables.reservations

# As in the partial index, and without a parameter: otherwise SQLite does not use that index.
_IS_EXPIRED = text("reservations.state = 'expired'")
_IS_PENDING = text("reservations.state = 'pending'")


class FoundAttempt(NamedTuple):
    """An attempt and the state of its reservation; None: the record is pruned. `is_bought`: it was sent, or may have
    been."""

    row: AttemptRow
    reservation_state: str | None
    resolved_at_ms: int | None
    is_bought: bool


class WantedAttempt(NamedTuple):
    """What to look for. With an `idempotency_key`: that one. Else: what was undelivered, or what a dead process left,
    after `since_ms`; and what a process runs that seems to be dead. `instance` is the one that asks."""

    key_id: str
    operation: str
    fingerprint: str
    idempotency_key: str | None
    since_ms: int
    instance: str


class _Scope(NamedTuple):
    """What several look for together: `operations` by key and fingerprint, the earliest `since_ms` and the time that is
    late enough for all of them."""

    operations: dict[tuple[str, str], str]
    since_ms: int
    latest_ms: int
    instance: str

    @property
    def count_max(self) -> int:
        return _FOUND_MAX * len(self.operations)

    def holds(self, columns: ReadOnlyColumnCollection[str, Column[Any]]) -> ColumnElement[bool]:
        return tuple_(columns.key_id, columns.fingerprint).in_(list(self.operations))


def find_attempts(engine: Engine, wanted: Sequence[WantedAttempt]) -> list[list[FoundAttempt]]:
    """Everything that matters for each of `wanted`, all of which one process asks for. Those without an idempotency key
    cost no more questions together than one alone. Raises StoreUnavailable."""
    unkeyed = [each for each in wanted if each.idempotency_key is None]
    with reading(engine) as connection:
        together = _unkeyed(connection, unkeyed) if unkeyed else []

        def find(each: WantedAttempt) -> list[FoundAttempt]:
            if each.idempotency_key is not None:
                return _found(connection, *_is_of_key(each), count_max=_FOUND_MAX)
            found = _unkeyed(connection, [each]) if together is None else together
            return [one for one in found or () if _matters(one, each)]

        return [find(each) for each in wanted]


def _is_of_key(wanted: WantedAttempt) -> tuple[ColumnElement[bool], ...]:
    rows = _attempts.c
    is_same = rows.operation == wanted.operation, rows.idempotency_key == wanted.idempotency_key
    return rows.key_id == wanted.key_id, *is_same


def _unkeyed(connection: Connection, wanted: Sequence[WantedAttempt]) -> list[FoundAttempt] | None:
    """What matters for any of them, and perhaps more. None: one has so much that it may hide that of the others."""
    scope = _Scope(
        operations={(each.key_id, each.fingerprint): each.operation for each in wanted},
        since_ms=min(each.since_ms for each in wanted),
        latest_ms=max(each.since_ms for each in wanted) + 1,
        instance=wanted[0].instance,
    )
    rows = _attempts.c
    is_undelivered = scope.holds(rows), rows.undelivered_at_ms > scope.since_ms
    parts = (
        _found(connection, *is_undelivered, count_max=scope.count_max),
        _left_by_the_dead(connection, scope),
        _held_by_the_silent(connection, scope),
    )
    if len(scope.operations) > 1 and any(len(part) == scope.count_max for part in parts):
        return None
    return [found for part in parts for found in part]


def _matters(found: FoundAttempt, wanted: WantedAttempt) -> bool:
    row = found.row
    is_late = row.undelivered_at_ms is None or row.undelivered_at_ms > wanted.since_ms
    return (row.key_id, row.fingerprint) == (wanted.key_id, wanted.fingerprint) and is_late


def is_anything_left(engine: Engine, since_ms: int) -> bool:
    """Whether anybody could take over something that earlier processes left since then."""
    undelivered = select(_attempts.c.request_id).where(_attempts.c.undelivered_at_ms > since_ms).limit(1)
    expired = select(_reservations.c.id).where(_IS_EXPIRED, _reservations.c.resolved_at_ms > since_ms).limit(1)
    with reading(engine) as connection:
        return any(connection.execute(query).first() is not None for query in (undelivered, expired))


def prune_attempts(engine: Engine, now_ms: int) -> None:
    """Deletes rows that have run out; a bounded number. One whose request still runs stays, however late it is: without
    it, another process would buy the image again."""
    rows = _attempts.c
    running = select(_reservations.c.id).where(_IS_PENDING)
    over = select(rows.request_id).where(rows.expires_at_ms <= now_ms, rows.request_id.not_in(running))
    over = over.limit(_PRUNE_MAX)
    with reading(engine) as connection:
        old = list(connection.execute(over).scalars())
    if old:
        with writing(engine) as connection:
            # Several processes may clean up at the same time; this prevents a deadlock.
            free = over.where(rows.request_id.in_(old)).with_for_update(skip_locked=True)
            connection.execute(delete(_attempts).where(rows.request_id.in_(list(connection.execute(free).scalars()))))


def _found(connection: Connection, *conditions: ColumnElement[bool], count_max: int) -> list[FoundAttempt]:
    query = (
        select(_attempts, *_STATE)
        .outerjoin(_reservations, _reservations.c.id == _attempts.c.request_id)
        .where(*conditions)
        .order_by(_attempts.c.undelivered_at_ms)
        .limit(count_max)
    )
    return [_attempt_of(row) for row in connection.execute(query).mappings()]


_STATE = (
    _reservations.c.state.label("reservation_state"),
    _reservations.c.resolved_at_ms,
    _reservations.c.dispatched_at_ms,
)


def _attempt_of(row: RowMapping) -> FoundAttempt:
    state = row["reservation_state"]
    is_bought = state != "released" and not (state == "expired" and row["dispatched_at_ms"] is None)
    attempt = AttemptRow(**{name: row[name] for name in AttemptRow._fields})
    return FoundAttempt(attempt, state, row["resolved_at_ms"], is_bought)


def _left_by_the_dead(connection: Connection, scope: _Scope) -> list[FoundAttempt]:
    """What was sent by a process that then died. It had no time to write a row; nobody received the answer."""
    query = _sent_without_a_row(scope).where(_IS_EXPIRED, _reservations.c.resolved_at_ms > scope.since_ms)
    return [
        FoundAttempt(_unwritten(scope, row, "lost", row.resolved_at_ms), "expired", row.resolved_at_ms, is_bought=True)
        for row in connection.execute(query)
    ]


def _held_by_the_silent(connection: Connection, scope: _Scope) -> list[FoundAttempt]:
    """What was sent by a process whose heartbeat is overdue: it is probably dead, and the sweep comes. Until then
    nobody can take this over, and nobody should buy it again."""
    overdue = overdue_at(connection, store_now_ms(connection)) - {scope.instance}
    if not overdue:
        return []
    query = _sent_without_a_row(scope).where(_IS_PENDING, _reservations.c.instance.in_(overdue))
    return [
        FoundAttempt(_unwritten(scope, row, "running", scope.latest_ms), "pending", None, is_bought=True)
        for row in connection.execute(query)
    ]


def _sent_without_a_row(scope: _Scope) -> Select[Any]:
    reservation = _reservations.c
    columns = reservation.id, reservation.key_id, reservation.fingerprint, reservation.instance
    return (
        select(*columns, reservation.resolved_at_ms)
        .outerjoin(_attempts, _attempts.c.request_id == reservation.id)
        .where(scope.holds(reservation), reservation.dispatched_at_ms.is_not(None), _attempts.c.request_id.is_(None))
        .limit(scope.count_max)
    )


def _unwritten(scope: _Scope, row: Row[Any], state: str, undelivered_at_ms: int | None) -> AttemptRow:
    """The row that a dead process would have written."""
    return AttemptRow(
        request_id=row.id,
        key_id=row.key_id,
        operation=scope.operations[row.key_id, row.fingerprint],
        idempotency_key=None,
        fingerprint=row.fingerprint,
        instance=row.instance,
        state=state,
        file_id=None,
        undelivered_at_ms=undelivered_at_ms,
        expires_at_ms=0,  # the taker says
    )
