"""The SQL with which the ledger's writer keeps attempts, in its own transaction: plain statements that both engines
understand. A batch seldom has any of these, so each is a statement of its own.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from app.database.clock import to_ms
from app.quotas.ledger.attempts.rows import ATTEMPT_COMMANDS, AttemptRow, ForgetAttempt, PutAttempt, TakeAttempt
from app.quotas.ledger.commands import Command, Reserve
from app.quotas.rules.reservation import Resolution

_NAMES = ", ".join(AttemptRow._fields)
_INSERT = f"INSERT INTO attempts ({_NAMES}) VALUES ({', '.join('?' * len(AttemptRow._fields))})"  # noqa: S608 - names of ours
_CHANGING = ("state", "file_id", "undelivered_at_ms", "expires_at_ms")
_TO_NEW = ", ".join(f"{name} = excluded.{name}" for name in _CHANGING)
_TO_GIVEN = ", ".join(f"{name} = ?" for name in _CHANGING)

# An idempotency key is free again once what it stood for has run out, or has ended before anything was bought.
_FREE = """DELETE FROM attempts WHERE key_id = ? AND operation = ? AND idempotency_key = ? AND (
    (state <> 'running' AND expires_at_ms <= ?)
    OR EXISTS (SELECT 1 FROM reservations WHERE reservations.id = attempts.request_id AND (
        reservations.state = 'released'
        OR (reservations.state = 'expired' AND reservations.dispatched_at_ms IS NULL)))) RETURNING 1"""
_CLAIM = f"{_INSERT} ON CONFLICT (key_id, operation, idempotency_key) DO NOTHING RETURNING 1"
_PUT = f"{_INSERT} ON CONFLICT (request_id) DO UPDATE SET {_TO_NEW} RETURNING 1"
_CHANGE = f"UPDATE attempts SET {_TO_GIVEN} WHERE request_id = ? RETURNING 1"  # noqa: S608 - names of ours
_TAKE = """UPDATE attempts SET undelivered_at_ms = NULL WHERE request_id = ? AND undelivered_at_ms IS NOT NULL
    RETURNING 1"""
_TAKE_UNKNOWN = f"{_INSERT} ON CONFLICT (request_id) DO NOTHING RETURNING 1"
_FORGET = "DELETE FROM attempts WHERE request_id = ? RETURNING 1"

Each = Callable[[str, Sequence[Sequence[object]]], list[list[tuple[Any, ...]]]]
"""Runs a statement for each of the parameters. Returns the rows of each."""


class AttemptResults(NamedTuple):
    """Of the batch's commands about attempts, in order; and the reservations whose idempotency key is taken."""

    resolutions: list[Resolution]
    refused: frozenset[str]


NO_ATTEMPTS = AttemptResults([], frozenset())


def keep_attempts(commands: Iterable[Command], each: Each) -> AttemptResults:
    """Carries out what `commands` say of attempts. Of two requests with one idempotency key, the first has it."""
    concerned = [
        command
        for command in commands
        if isinstance(command, ATTEMPT_COMMANDS) or (isinstance(command, Reserve) and command.attempt is not None)
    ]
    if not concerned:
        return NO_ATTEMPTS
    resolutions: list[Resolution] = []
    refused: set[str] = set()

    def found(text: str, *values: object) -> bool:
        return bool(each(text, [values])[0])

    for command in concerned:
        match command:
            case Reserve(hold, AttemptRow() as row):
                found(_FREE, row.key_id, row.operation, row.idempotency_key, to_ms(hold.reserved_at))
                if not found(_CLAIM, *row):
                    refused.add(hold.id)
            case PutAttempt(row) if row.idempotency_key is None:
                found(_PUT, *row)
                resolutions.append(Resolution.DONE)
            case PutAttempt(row):
                is_there = found(_CHANGE, *(getattr(row, name) for name in _CHANGING), row.request_id)
                resolutions.append(Resolution.DONE if is_there else Resolution.UNKNOWN)
            case TakeAttempt(row):
                mine = found(_TAKE_UNKNOWN, *row._replace(undelivered_at_ms=None)) or found(_TAKE, row.request_id)
                resolutions.append(Resolution.DONE if mine else Resolution.ALREADY_RESOLVED)
            case ForgetAttempt(request_id):
                resolutions.append(Resolution.DONE if found(_FORGET, request_id) else Resolution.UNKNOWN)
    return AttemptResults(resolutions, frozenset(refused))


def forget_attempts(request_ids: Iterable[str], each: Each) -> None:
    """Gives the idempotency keys back of requests whose reservation was refused."""
    for request_id in request_ids:
        each(_FORGET, [(request_id,)])
