"""Carries a batch of commands out on what one transaction has read: rows, limits and counters in, outcomes and writes
out. Pure: it changes only the values it is given, and statements.py writes what it says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from app.database.clock import to_ms
from app.errors import DuplicateReservation, LimitReached, StoreUnavailable
from app.quotas.admission import decide
from app.quotas.commands import (
    Closing,
    Command,
    Expire,
    MarkDispatched,
    NewRow,
    Record,
    Reserve,
    Reserved,
    Resolve,
    closing_of,
    closing_of_expired,
    new_row,
    record_of,
)
from app.quotas.counters import Calendar, Counter, CounterKey
from app.quotas.plans import Party, Plan
from app.quotas.reservation import TRANSITIONS, Hold, Resolution, State

Outcome = Reserved | Resolution | LimitReached | DuplicateReservation | StoreUnavailable | None
"""None: marked as dispatched."""


def party_of(hold: Hold) -> Party:
    """Whose limits a hold has to pass."""
    return Party(hold.key_id, hold.user_id, hold.team_id, hold.model)


def reservation_id(command: Command) -> str:
    """The reservation a command is about."""
    return command.hold.id if isinstance(command, Reserve) else command.reservation_id


@dataclass(slots=True)
class Books:
    """What a transaction has read. `records` and `counters` are brought forward by each command in turn.

    `plans` has the limits of every party in the batch. `in_doubt`: ids whose resolution was sent before, with no
    answer about its commit.
    """

    instance: str
    records: dict[str, Record]
    plans: Mapping[Party, Plan]
    counters: Mapping[CounterKey, Counter]
    calendar: Calendar
    in_doubt: frozenset[str] = frozenset()


@dataclass(slots=True)
class Writes:
    """What a batch leaves to write."""

    inserted: list[NewRow] = field(default_factory=list)
    dispatched: list[tuple[int, str]] = field(default_factory=list)  # when, which
    closed: list[tuple[Closing, str]] = field(default_factory=list)  # how, which
    touched: set[CounterKey] = field(default_factory=set)


def parties_needed(commands: Iterable[Command], records: Mapping[str, Record]) -> set[Party]:
    """Whose limits a batch has to know."""
    return {party_of(command.hold) for command in commands if isinstance(command, Reserve)} | {
        record.party for record in _closing(commands, records)
    }


def keys_needed(
    commands: Iterable[Command], records: Mapping[str, Record], plans: Mapping[Party, Plan], calendar: Calendar
) -> list[CounterKey]:
    """The counters a batch may move, in the order in which they have to be locked.

    A reservation moves, all its life, the counters of the windows it was made in: never those of the present.
    """
    needed: set[CounterKey] = set()
    for command in commands:
        if isinstance(command, Reserve):
            needed.update(plans[party_of(command.hold)].keys(to_ms(command.hold.reserved_at), calendar))
    for record in _closing(commands, records):
        needed.update(plans[record.party].keys(record.reserved_at_ms, calendar))
    return sorted(needed)


def _closing(commands: Iterable[Command], records: Mapping[str, Record]) -> list[Record]:
    """The records that the batch will close, of those that were there before it."""
    ids = {command.reservation_id for command in commands if isinstance(command, Resolve | Expire)}
    return [records[id_] for id_ in ids if id_ in records and records[id_].state == State.PENDING]


def execute(commands: Sequence[Command], books: Books) -> tuple[list[Outcome], Writes]:
    """Each command's outcome, in order, and what has to be written. A command sees the ones before it."""
    writes = Writes()
    outcomes: list[Outcome] = []
    for command in commands:
        match command:
            case Reserve():
                outcomes.append(_reserve(command, books, writes))
            case MarkDispatched():
                outcomes.append(_mark_dispatched(command, books, writes))
            case Resolve():
                outcomes.append(_resolve(command, books, writes))
            case Expire():
                outcomes.append(_expire(command, books, writes))
            case _:
                assert_never(command)
    return outcomes, writes


def _reserve(command: Reserve, books: Books, writes: Writes) -> Outcome:
    hold = command.hold
    if hold.id in books.records:
        return DuplicateReservation(f"Reservation {hold.id} exists already; every request needs an id of its own.")
    plan = books.plans[party_of(hold)]
    keys = plan.keys(to_ms(hold.reserved_at), books.calendar)
    counters = [books.counters[key] for key in keys]
    decision = decide([(limit, counters[look]) for limit, look in plan.limits], hold.amounts, hold.reserved_at)
    if decision.refusal is not None:
        return decision.refusal.error()
    for counter in counters:
        counter.hold(hold.amounts)
    writes.touched.update(keys)
    row = new_row(hold, books.instance)
    writes.inserted.append(row)
    books.records[hold.id] = record_of(row)
    return Reserved(decision.rate, tuple(refusal.label for refusal in decision.shadow))


def _mark_dispatched(command: MarkDispatched, books: Books, writes: Writes) -> Outcome:
    record = books.records.get(command.reservation_id)
    if record is None or record.state != State.PENDING:
        return StoreUnavailable("The reservation of this request has ended, so it was not sent; try again.")
    if record.dispatched_at_ms is None:
        record.dispatched_at_ms = to_ms(command.at)
        writes.dispatched.append((record.dispatched_at_ms, record.id))
    return None


def _resolve(command: Resolve, books: Books, writes: Writes) -> Outcome:
    record = books.records.get(command.reservation_id)
    if record is None:
        return Resolution.UNKNOWN
    closing = closing_of(command.settlement)
    if record.state == State.PENDING:
        return _close(record, closing, books, writes)
    # The first try may have been committed and only its answer lost: then this is its answer.
    same = (record.state, record.resolved_at_ms, record.outcome) == (
        closing.state,
        closing.resolved_at_ms,
        closing.outcome,
    )
    return Resolution.DONE if same and record.id in books.in_doubt else Resolution.ALREADY_RESOLVED


def _expire(command: Expire, books: Books, writes: Writes) -> Outcome:
    record = books.records.get(command.reservation_id)
    if record is None:
        return Resolution.UNKNOWN
    if record.state != State.PENDING:
        return Resolution.ALREADY_RESOLVED
    return _close(record, closing_of_expired(record, command.at), books, writes)


def _close(record: Record, closing: Closing, books: Books, writes: Writes) -> Resolution:
    assert State(closing.state) in TRANSITIONS[State(record.state)]
    charged = closing.charged
    keys = books.plans[record.party].keys(record.reserved_at_ms, books.calendar)
    for key in keys:
        books.counters[key].resolve(record.held, charged)
    writes.touched.update(keys)
    writes.closed.append((closing, record.id))
    record.state, record.resolved_at_ms, record.outcome = closing.state, closing.resolved_at_ms, closing.outcome
    return Resolution.DONE
