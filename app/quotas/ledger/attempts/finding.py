"""Finds attempts in the database that a request may be answered with: some of one key, by an index. Every function
blocks."""

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, Select, delete, select, text

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


def find_attempts(engine: Engine, wanted: WantedAttempt) -> list[FoundAttempt]:
    """Everything that matters for `wanted`. Raises StoreUnavailable."""
    with reading(engine) as connection:
        rows = _attempts.c
        if wanted.idempotency_key is not None:
            is_same = rows.operation == wanted.operation, rows.idempotency_key == wanted.idempotency_key
            return _found(connection, rows.key_id == wanted.key_id, *is_same)
        return [
            *_found(
                connection,
                rows.key_id == wanted.key_id,
                rows.fingerprint == wanted.fingerprint,
                rows.undelivered_at_ms > wanted.since_ms,
            ),
            *_left_by_the_dead(connection, wanted),
            *_held_by_the_silent(connection, wanted),
        ]


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


def _found(connection: Connection, *conditions: ColumnElement[bool]) -> list[FoundAttempt]:
    query = (
        select(_attempts, *_STATE)
        .outerjoin(_reservations, _reservations.c.id == _attempts.c.request_id)
        .where(*conditions)
        .order_by(_attempts.c.undelivered_at_ms)
        .limit(_FOUND_MAX)
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


def _left_by_the_dead(connection: Connection, wanted: WantedAttempt) -> list[FoundAttempt]:
    """What was sent by a process that then died. It had no time to write a row; nobody received the answer."""
    reservation = _reservations.c
    query = _sent_without_a_row(wanted).where(_IS_EXPIRED, reservation.resolved_at_ms > wanted.since_ms)
    return [
        FoundAttempt(
            _unwritten(wanted, id_, instance, "lost", resolved_at_ms), "expired", resolved_at_ms, is_bought=True
        )
        for id_, instance, resolved_at_ms in connection.execute(query)
    ]


def _held_by_the_silent(connection: Connection, wanted: WantedAttempt) -> list[FoundAttempt]:
    """What was sent by a process whose heartbeat is overdue: it is probably dead, and the sweep comes. Until then
    nobody can take this over, and nobody should buy it again."""
    overdue = overdue_at(connection, store_now_ms(connection)) - {wanted.instance}
    if not overdue:
        return []
    query = _sent_without_a_row(wanted).where(_IS_PENDING, _reservations.c.instance.in_(overdue))
    return [
        FoundAttempt(_unwritten(wanted, id_, instance, "running", wanted.since_ms + 1), "pending", None, is_bought=True)
        for id_, instance, _ in connection.execute(query)
    ]


def _sent_without_a_row(wanted: WantedAttempt) -> Select[str, str, int | None]:
    reservation = _reservations.c
    return (
        select(reservation.id, reservation.instance, reservation.resolved_at_ms)
        .outerjoin(_attempts, _attempts.c.request_id == reservation.id)
        .where(
            reservation.key_id == wanted.key_id,
            reservation.fingerprint == wanted.fingerprint,
            reservation.dispatched_at_ms.is_not(None),
            _attempts.c.request_id.is_(None),
        )
        .limit(_FOUND_MAX)
    )


def _unwritten(
    wanted: WantedAttempt, request_id: str, instance: str, state: str, undelivered_at_ms: int | None
) -> AttemptRow:
    """The row that a dead process would have written."""
    return AttemptRow(
        request_id=request_id,
        key_id=wanted.key_id,
        operation=wanted.operation,
        idempotency_key=None,
        fingerprint=wanted.fingerprint,
        instance=instance,
        state=state,
        file_id=None,
        undelivered_at_ms=undelivered_at_ms,
        expires_at_ms=0,  # the taker says
    )
