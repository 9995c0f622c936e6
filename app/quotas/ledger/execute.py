"""Carries out a batch of commands on what one transaction has read: rows, limits and counters in, outcomes and writes
out. Pure: it changes only its arguments, and store.py writes the result.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from app.database.clock import from_ms, to_ms
from app.errors import DuplicateReservation, IdempotencyKeyTaken, StoreUnavailable
from app.quotas.ledger.attempts.keeper import NO_ATTEMPTS, AttemptResults
from app.quotas.ledger.attempts.rows import ForgetAttempt, PutAttempt, TakeAttempt
from app.quotas.ledger.commands import (
    Command,
    CommandResult,
    Expire,
    MarkDispatched,
    Move,
    Probe,
    Reserve,
    Reserved,
    Resolve,
    plausible,
)
from app.quotas.ledger.corrections import Correction, correction_of, is_of
from app.quotas.ledger.rows import Closing, NewRow, Record, closing_of, closing_of_expired, new_row
from app.quotas.ledger.totals import Totals
from app.quotas.rules.admission import decide
from app.quotas.rules.applicable import ApplicableLimits, Party
from app.quotas.rules.counters import Counter, CounterKey, amount_of
from app.quotas.rules.limits import Limit, Scope
from app.quotas.rules.reservation import NOTHING, PENDING, Amounts, Corrected, Resolution, State
from app.quotas.rules.thresholds import UNWATCHED, ThresholdEvent, Thresholds

_EXPIRED = State.EXPIRED.value
_CLOSING = (Resolve, Expire)  # a union would be made anew at every call
_ACCOUNT = Scope.ACCOUNT
_DONE = Resolution.DONE  # looking a member up is slow in Python 3.11


class AppliedCounters(NamedTuple):
    """The counters that a reservation changes, and its limits, each with the counter it is compared with."""

    counters: tuple[Counter, ...]
    limits: tuple[tuple[Limit, Counter], ...]


@dataclass(slots=True)
class Loaded:
    """What a transaction has read. Each command updates `records` and `counters` for the next one.

    `applicable_by_id` has the limits of every reservation that may be taken or closed, and those after a move, by its
    command. `in_doubt`: ids whose resolution
    was sent before, without an answer about its commit. `corrections` are those of expired `records`.
    `applied_counters` are made from `counters`, for the limits used so far.
    """

    instance: str
    records: dict[str, Record]
    applicable_by_id: dict[str | Move, ApplicableLimits]
    counters: Mapping[CounterKey, Counter]
    in_doubt: frozenset[str] = frozenset()
    thresholds: Thresholds = field(default_factory=lambda: Thresholds(UNWATCHED))
    applied_counters: dict[ApplicableLimits, AppliedCounters] = field(default_factory=dict)
    attempts: AttemptResults = NO_ATTEMPTS
    corrections: dict[str, Correction] = field(default_factory=dict)

    def applied(self, applicable: ApplicableLimits) -> AppliedCounters:
        """Returns the same object at every call: many reservations share the same limits."""
        found = self.applied_counters.get(applicable)
        if found is None:
            counters = tuple(self.counters[key] for key in applicable.keys)
            limits = tuple((limit, counters[look]) for limit, look in applicable.limits)
            found = self.applied_counters[applicable] = AppliedCounters(counters, limits)
        return found


@dataclass(slots=True)
class Writes:
    """What a batch leaves to be written."""

    inserted: list[NewRow] = field(default_factory=list)
    unclaimed: list[str] = field(default_factory=list)  # requests that took an idempotency key, and were refused
    probes: list[NewRow] = field(default_factory=list)  # to be inserted and deleted again
    dispatched: dict[str, int] = field(default_factory=dict)  # which, when
    moved: dict[str, tuple[str, int | None]] = field(default_factory=dict)  # which, to which account, dispatched when
    closed: list[tuple[Closing, str]] = field(default_factory=list)  # how, which
    touched: set[ApplicableLimits] = field(default_factory=set)  # whose counters moved
    threshold_events: list[ThresholdEvent] = field(default_factory=list)  # some may be written already, by any process
    corrections: list[Correction] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    corrected: list[Corrected] = field(default_factory=list)  # the same, for announcing


def parties_needed(commands: Iterable[Command], records: Mapping[str, Record]) -> dict[str | Move, tuple[Party, int]]:
    """The owner and the start time of every reservation that the batch may take, move or close. The owner after a move
    is there by its command.
    """
    needed: dict[str | Move, tuple[Party, int]] = {}
    for command in commands:
        if isinstance(command, Reserve):
            hold = command.hold
            if hold.id not in records:
                party = Party(hold.key_id, hold.user_id, hold.team_id, hold.model, hold.account)
                needed.setdefault(hold.id, (party, to_ms(hold.reserved_at)))
        elif isinstance(command, _CLOSING):
            record = records.get(command.reservation_id)
            if record is not None and (record.state == PENDING or _is_late(command, record)):
                needed[record.id] = record.party, record.reserved_at_ms
        elif isinstance(command, Move):
            record = records.get(command.reservation_id)
            if record is not None and record.state == PENDING:
                needed[record.id] = record.party, record.reserved_at_ms
                needed[command] = record.party._replace(account=command.account), record.reserved_at_ms
    return needed


def execute(commands: Sequence[Command], loaded: Loaded) -> tuple[list[CommandResult], Writes]:
    """The outcome of each command, in order, and what has to be written. A command sees the effects of the earlier
    ones.
    """
    writes = Writes()
    outcomes: list[CommandResult] = []
    of_attempts = iter(loaded.attempts.resolutions)
    for command in commands:
        match command:
            case Reserve():
                outcomes.append(_reserve(command, loaded, writes))
            case Resolve():
                outcomes.append(_resolve(command, loaded, writes))
            case MarkDispatched():
                outcomes.append(_mark_dispatched(command, loaded, writes))
            case Move():
                outcomes.append(_move(command, loaded, writes))
            case Expire():
                outcomes.append(_expire(command, loaded, writes))
            case Probe():
                writes.probes.append(new_row(command.hold, loaded.instance))
                outcomes.append(None)
            case PutAttempt() | ForgetAttempt() | TakeAttempt():
                outcomes.append(next(of_attempts))
            case _:
                assert_never(command)
    return outcomes, writes


def _reserve(command: Reserve, loaded: Loaded, writes: Writes) -> CommandResult:
    hold = command.hold
    if hold.id in loaded.records:
        return DuplicateReservation(f"Reservation {hold.id} exists already; every request needs an id of its own.")
    if hold.id in loaded.attempts.refused:
        return IdempotencyKeyTaken("Another request has this Idempotency-Key.")
    applicable = loaded.applicable_by_id[hold.id]
    applied = loaded.applied(applicable)
    decision = decide(applied.limits, hold.amounts, hold.reserved_at)
    if decision.refusal is not None:
        if command.attempt is not None:
            writes.unclaimed.append(hold.id)
        return decision.refusal.error()
    for counter in applied.counters:
        counter.hold(hold.amounts)
    writes.touched.add(applicable)
    row = new_row(hold, loaded.instance)
    writes.inserted.append(row)
    loaded.records[hold.id] = Record(
        *(hold.id, applicable.party, PENDING, row.reserved_at_ms, row.dispatched_at_ms, hold.amounts),
        asked=(hold.operation, hold.size, hold.quality),
    )
    shadow = decision.shadow
    return Reserved(decision.rate, tuple(refusal.label for refusal in shadow) if shadow else ())


def _mark_dispatched(command: MarkDispatched, loaded: Loaded, writes: Writes) -> CommandResult:
    record = loaded.records.get(command.reservation_id)
    if record is None or record.state != PENDING:
        return _ended()
    if record.dispatched_at_ms is None:
        record.dispatched_at_ms = to_ms(command.at)
        writes.dispatched[record.id] = record.dispatched_at_ms
    return None


def _move(command: Move, loaded: Loaded, writes: Writes) -> CommandResult:
    """Its hold leaves the counters of the one account and enters those of the other. All other counters stay."""
    record = loaded.records.get(command.reservation_id)
    if record is None or record.state != PENDING:
        return _ended()
    if record.party.account == command.account:
        return None  # moved before, and only the answer to the commit was lost
    before, after = loaded.applicable_by_id[record.id], loaded.applicable_by_id[command]
    own = [each for each in loaded.applied(after).limits if each[0].scope is _ACCOUNT]
    refusal = decide(own, record.held, from_ms(record.reserved_at_ms)).refusal
    if refusal is not None:
        return refusal.error()
    for counter in loaded.applied(before).counters:
        counter.resolve(record.held, NOTHING)
    for counter in loaded.applied(after).counters:
        counter.hold(record.held)
    writes.touched |= {before, after}
    record.party, loaded.applicable_by_id[record.id] = after.party, after
    record.dispatched_at_ms = to_ms(command.at) if command.is_dispatched else None
    writes.moved[record.id] = (command.account, record.dispatched_at_ms)
    return None


def _ended() -> StoreUnavailable:
    return StoreUnavailable("The reservation of this request has ended, so it was not sent; try again.")


def _resolve(command: Resolve, loaded: Loaded, writes: Writes) -> CommandResult:
    record = loaded.records.get(command.reservation_id)
    if record is None:
        return Resolution.UNKNOWN
    closing = closing_of(plausible(command.settlement, record.held))
    if record.state == PENDING:
        return _close(record, closing, closing.charged, loaded, writes)
    if record.state == _EXPIRED:
        return _correct(record, closing, loaded, writes)
    # The first try may have been committed and only its answer lost. Then this is its answer.
    same = (record.state, record.resolved_at_ms, record.outcome) == (
        closing.state,
        closing.resolved_at_ms,
        closing.outcome,
    )
    return Resolution.DONE if same and record.id in loaded.in_doubt else Resolution.ALREADY_RESOLVED


def _correct(record: Record, closing: Closing, loaded: Loaded, writes: Writes) -> Resolution:
    """The reservation expired, but its request was still running. Its cost counts in the reservation's windows, even
    above a limit, because the image was bought.
    """
    made = loaded.corrections.get(record.id)
    if made is not None:
        again = record.id in loaded.in_doubt and is_of(made, closing)
        return Resolution.CORRECTED if again else Resolution.ALREADY_RESOLVED
    correction = loaded.corrections[record.id] = correction_of(record, closing)
    applicable, delta = loaded.applicable_by_id[record.id], correction.delta
    applied = loaded.applied(applicable)
    for counter in applied.counters:
        counter.resolve(NOTHING, delta)
    passed = []
    for limit, look in applicable.limits:
        key, counter = applicable.keys[look], applied.counters[look]
        writes.threshold_events += loaded.thresholds.crossed(limit, key, counter, delta, closing.resolved_at_ms)
        most = limit.at(closing.resolved_at_ms).amount
        if amount_of(delta, limit.unit) > 0 and counter.settled(limit.unit) > most:
            passed.append((limit.scope.value, limit.unit.value))
    writes.touched.add(applicable)
    writes.corrections.append(correction)
    writes.totals.add_correction(record, correction)
    writes.corrected.append(Corrected(record.id, delta, tuple(passed)))
    return Resolution.CORRECTED


def late_ids(commands: Iterable[Command], records: Mapping[str, Record]) -> list[str]:
    """Expired reservations that are to be resolved now. Their corrections have to be read."""
    expired = [id_ for id_, record in records.items() if record.state == _EXPIRED]
    return (
        sorted({each.reservation_id for each in commands if isinstance(each, Resolve)} & {*expired}) if expired else []
    )


def _is_late(command: Command, record: Record) -> bool:
    return record.state == _EXPIRED and isinstance(command, Resolve)


def _expire(command: Expire, loaded: Loaded, writes: Writes) -> CommandResult:
    record = loaded.records.get(command.reservation_id)
    if record is None:
        return Resolution.UNKNOWN
    if record.state != PENDING:
        return Resolution.ALREADY_RESOLVED
    closing = closing_of_expired(record, command.at)
    return _close(record, closing, closing.charged, loaded, writes)


def _close(record: Record, closing: Closing, charged: Amounts, loaded: Loaded, writes: Writes) -> Resolution:
    applicable = loaded.applicable_by_id[record.id]
    applied = loaded.applied(applicable)
    for counter in applied.counters:
        counter.resolve(record.held, charged)
    if charged != NOTHING:
        for limit, look in applicable.limits:
            key, counter = applicable.keys[look], applied.counters[look]
            writes.threshold_events += loaded.thresholds.crossed(limit, key, counter, charged, closing.resolved_at_ms)
    writes.touched.add(applicable)
    writes.closed.append((closing, record.id))
    writes.totals.add_closing(record, closing)
    record.state, record.resolved_at_ms, record.outcome = closing.state, closing.resolved_at_ms, closing.outcome
    return _DONE
