"""Carries a batch of commands out on what one transaction has read: rows, limits and counters in, outcomes and writes
out. Pure: it changes only the values it is given, and statements.py writes what it says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from app.database.clock import to_ms
from app.errors import DuplicateReservation, LimitReached, StoreUnavailable
from app.quotas.ledger.commands import (
    NOTHING,
    Closing,
    Command,
    Expire,
    MarkDispatched,
    NewRow,
    Probe,
    Record,
    Reserve,
    Reserved,
    Resolve,
    bounded,
    closing_of,
    closing_of_expired,
    new_row,
)
from app.quotas.ledger.corrections import Corrected, Correction, correction_of, is_of
from app.quotas.rules.admission import decide
from app.quotas.rules.applicable import Account, Party
from app.quotas.rules.counters import Counter, CounterKey, amount_of
from app.quotas.rules.limits import Limit
from app.quotas.rules.reservation import Amounts, Resolution, State
from app.quotas.rules.thresholds import UNWATCHED, Crossing, Thresholds

_PENDING, _EXPIRED = State.PENDING.value, State.EXPIRED.value
_DONE = Resolution.DONE  # looking a member up is slow in Python 3.11

Outcome = Reserved | Resolution | LimitReached | DuplicateReservation | StoreUnavailable | None
"""None: marked as dispatched, or written for a probe."""


def reservation_id(command: Command) -> str:
    """The reservation a command is about."""
    return command.hold.id if isinstance(command, Reserve | Probe) else command.reservation_id


class Standing(NamedTuple):
    """An account's counters, and its limits each beside the counter it looks at."""

    counters: tuple[Counter, ...]
    limits: tuple[tuple[Limit, Counter], ...]


@dataclass(slots=True)
class Books:
    """What a transaction has read. `records` and `counters` are brought forward by each command in turn.

    `accounts` has those of every reservation that may be taken or closed. `in_doubt`: ids whose resolution was sent
    before, with no answer about its commit. `corrections` are those of expired `records`.
    `standings` are made of `counters`, of the accounts asked for so far.
    """

    instance: str
    records: dict[str, Record]
    accounts: Mapping[str, Account]
    counters: Mapping[CounterKey, Counter]
    in_doubt: frozenset[str] = frozenset()
    thresholds: Thresholds = field(default_factory=lambda: Thresholds(UNWATCHED))
    standings: dict[Account, Standing] = field(default_factory=dict)
    corrections: dict[str, Correction] = field(default_factory=dict)

    def standing(self, account: Account) -> Standing:
        """The same at every call: many reservations share an account."""
        found = self.standings.get(account)
        if found is None:
            counters = tuple(self.counters[key] for key in account.keys)
            limits = tuple((limit, counters[look]) for limit, look in account.limits)
            found = self.standings[account] = Standing(counters, limits)
        return found


@dataclass(slots=True)
class Writes:
    """What a batch leaves to write."""

    inserted: list[NewRow] = field(default_factory=list)
    probes: list[NewRow] = field(default_factory=list)  # to be inserted and deleted again
    dispatched: list[tuple[int, str]] = field(default_factory=list)  # when, which
    closed: list[tuple[Closing, str]] = field(default_factory=list)  # how, which
    touched: set[Account] = field(default_factory=set)  # whose counters moved
    crossings: list[Crossing] = field(default_factory=list)  # some may be written already, by whomever
    corrections: list[Correction] = field(default_factory=list)
    corrected: list[Corrected] = field(default_factory=list)  # the same, to be told


def parties_needed(commands: Iterable[Command], records: Mapping[str, Record]) -> dict[str, tuple[Party, int]]:
    """Of every reservation the batch may take or close: whose it is, and when it was made."""
    needed: dict[str, tuple[Party, int]] = {}
    for command in commands:
        if isinstance(command, Reserve):
            hold = command.hold
            if hold.id not in records:
                party = Party(hold.key_id, hold.user_id, hold.team_id, hold.model)
                needed.setdefault(hold.id, (party, to_ms(hold.reserved_at)))
        elif isinstance(command, Resolve | Expire):
            record = records.get(command.reservation_id)
            if record is not None and (record.state == _PENDING or _is_late(command, record)):
                needed[record.id] = record.party, record.reserved_at_ms
    return needed


def execute(commands: Sequence[Command], books: Books) -> tuple[list[Outcome], Writes]:
    """Each command's outcome, in order, and what has to be written. A command sees the ones before it."""
    writes = Writes()
    outcomes: list[Outcome] = []
    for command in commands:
        match command:
            case Reserve():
                outcomes.append(_reserve(command, books, writes))
            case Resolve():
                outcomes.append(_resolve(command, books, writes))
            case MarkDispatched():
                outcomes.append(_mark_dispatched(command, books, writes))
            case Expire():
                outcomes.append(_expire(command, books, writes))
            case Probe():
                writes.probes.append(new_row(command.hold, books.instance))
                outcomes.append(None)
            case _:
                assert_never(command)
    return outcomes, writes


def _reserve(command: Reserve, books: Books, writes: Writes) -> Outcome:
    hold = command.hold
    if hold.id in books.records:
        return DuplicateReservation(f"Reservation {hold.id} exists already; every request needs an id of its own.")
    account = books.accounts[hold.id]
    standing = books.standing(account)
    decision = decide(standing.limits, hold.amounts, hold.reserved_at)
    if decision.refusal is not None:
        return decision.refusal.error()
    for counter in standing.counters:
        counter.hold(hold.amounts)
    writes.touched.add(account)
    row = new_row(hold, books.instance)
    writes.inserted.append(row)
    books.records[hold.id] = Record(
        hold.id, account.party, _PENDING, row.reserved_at_ms, row.dispatched_at_ms, hold.amounts
    )
    shadow = decision.shadow
    return Reserved(decision.rate, tuple(refusal.label for refusal in shadow) if shadow else ())


def _mark_dispatched(command: MarkDispatched, books: Books, writes: Writes) -> Outcome:
    record = books.records.get(command.reservation_id)
    if record is None or record.state != _PENDING:
        return StoreUnavailable("The reservation of this request has ended, so it was not sent; try again.")
    if record.dispatched_at_ms is None:
        record.dispatched_at_ms = to_ms(command.at)
        writes.dispatched.append((record.dispatched_at_ms, record.id))
    return None


def _resolve(command: Resolve, books: Books, writes: Writes) -> Outcome:
    record = books.records.get(command.reservation_id)
    if record is None:
        return Resolution.UNKNOWN
    closing = closing_of(bounded(command.settlement, record.held))
    if record.state == _PENDING:
        return _close(record, closing, closing.charged, books, writes)
    if record.state == _EXPIRED:
        return _correct(record, closing, books, writes)
    # The first try may have been committed and only its answer lost: then this is its answer.
    same = (record.state, record.resolved_at_ms, record.outcome) == (
        closing.state,
        closing.resolved_at_ms,
        closing.outcome,
    )
    return Resolution.DONE if same and record.id in books.in_doubt else Resolution.ALREADY_RESOLVED


def _correct(record: Record, closing: Closing, books: Books, writes: Writes) -> Resolution:
    """It had been given up, and was under way all the same. What it cost counts where the reservation counts, also
    above a limit: it was bought."""
    made = books.corrections.get(record.id)
    if made is not None:
        again = record.id in books.in_doubt and is_of(made, closing)
        return Resolution.CORRECTED if again else Resolution.ALREADY_RESOLVED
    correction = books.corrections[record.id] = correction_of(record, closing)
    account, delta = books.accounts[record.id], correction.delta
    standing = books.standing(account)
    for counter in standing.counters:
        counter.resolve(NOTHING, delta)
    passed = []
    for limit, look in account.limits:
        key, counter = account.keys[look], standing.counters[look]
        writes.crossings += books.thresholds.crossed(limit, key, counter, delta, closing.resolved_at_ms)
        if amount_of(delta, limit.unit) > 0 and counter.settled(limit.unit) > limit.amount:
            passed.append((limit.scope.value, limit.unit.value))
    writes.touched.add(account)
    writes.corrections.append(correction)
    writes.corrected.append(Corrected(record.id, delta, tuple(passed)))
    return Resolution.CORRECTED


def late_ids(commands: Iterable[Command], records: Mapping[str, Record]) -> list[str]:
    """Reservations that have expired and are to be resolved now: their corrections have to be read."""
    expired = [id_ for id_, record in records.items() if record.state == _EXPIRED]
    return (
        sorted({each.reservation_id for each in commands if isinstance(each, Resolve)} & {*expired}) if expired else []
    )


def _is_late(command: Command, record: Record) -> bool:
    return record.state == _EXPIRED and isinstance(command, Resolve)


def _expire(command: Expire, books: Books, writes: Writes) -> Outcome:
    record = books.records.get(command.reservation_id)
    if record is None:
        return Resolution.UNKNOWN
    if record.state != _PENDING:
        return Resolution.ALREADY_RESOLVED
    closing = closing_of_expired(record, command.at)
    return _close(record, closing, closing.charged, books, writes)


def _close(record: Record, closing: Closing, charged: Amounts, books: Books, writes: Writes) -> Resolution:
    account = books.accounts[record.id]
    standing = books.standing(account)
    for counter in standing.counters:
        counter.resolve(record.held, charged)
    if charged != NOTHING:
        for limit, look in account.limits:
            key, counter = account.keys[look], standing.counters[look]
            writes.crossings += books.thresholds.crossed(limit, key, counter, charged, closing.resolved_at_ms)
    writes.touched.add(account)
    writes.closed.append((closing, record.id))
    record.state, record.resolved_at_ms, record.outcome = closing.state, closing.resolved_at_ms, closing.outcome
    return _DONE
