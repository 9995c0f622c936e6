from dataclasses import dataclass, field

import pytest

from app.errors import DuplicateReservation, QuotaExceeded, StoreUnavailable
from app.quotas.ledger.commands import (
    Command,
    CommandResult,
    Expire,
    MarkDispatched,
    ReservationCommand,
    Reserve,
    Reserved,
    Resolve,
    reservation_id,
)
from app.quotas.ledger.execute import Loaded, Writes, execute, parties_needed
from app.quotas.ledger.rows import RECORD_COLUMNS, NewRow, Record, new_row, record_read
from app.quotas.rules.applicable import Plan
from app.quotas.rules.counters import Counter, CounterKey
from app.quotas.rules.limits import Limit
from app.quotas.rules.reservation import Amounts, Resolution
from app.quotas.rules.thresholds import ThresholdEvent, Thresholds, Watch
from tests.quotas.making import NOON, PARTY, a_hold, on_key, on_user, released, settled


@dataclass
class Desk:
    """A transaction that has read `records`; everybody's limits are `limits`."""

    limits: tuple[Limit, ...] = ()
    records: dict[str, Record] = field(default_factory=dict)
    counters: dict[CounterKey, Counter] = field(default_factory=dict)
    in_doubt: frozenset[str] = frozenset()
    thresholds: Thresholds = field(default_factory=lambda: Thresholds(Watch((50, 100))))

    def run(self, *commands: Command) -> tuple[list[CommandResult], Writes]:
        plan = Plan(PARTY, self.limits)
        needed = parties_needed(commands, self.records)
        assert {party for party, _ in needed.values()} <= {PARTY}
        applicable_by_id = {id_: plan.applicable(at_ms) for id_, (_, at_ms) in needed.items()}
        for applicable in applicable_by_id.values():
            for key in applicable.keys:
                self.counters.setdefault(key, Counter())
        return execute(
            commands, Loaded("here", self.records, applicable_by_id, self.counters, self.in_doubt, self.thresholds)
        )

    @property
    def counter(self) -> Counter:
        (counter,) = self.counters.values()
        return counter


def pending(id_: str = "r1", *, dispatched_at_ms: int | None = None) -> dict[str, Record]:
    return {id_: read_back(new_row(a_hold(id_), "there")._replace(dispatched_at_ms=dispatched_at_ms))}


def read_back(row: NewRow) -> Record:
    written = row._asdict()
    return record_read([written.get(name) for name in RECORD_COLUMNS])


@pytest.mark.parametrize("is_dispatched", [False, True])
def test_what_is_known_of_a_new_reservation_is_what_would_be_read_back(is_dispatched: bool) -> None:
    desk = Desk()
    _, writes = desk.run(Reserve(a_hold(is_dispatched=is_dispatched)))
    assert desk.records == {row.id: read_back(row) for row in writes.inserted}
    assert desk.records["r1"].dispatched_at_ms == (desk.records["r1"].reserved_at_ms if is_dispatched else None)


def test_a_hold_is_inserted_and_counted() -> None:
    desk = Desk((on_key("images:5/day"),))
    outcomes, writes = desk.run(Reserve(a_hold(images=3)))
    assert outcomes == [Reserved(None)]
    assert [row.id for row in writes.inserted] == ["r1"]
    assert {key for applicable in writes.touched for key in applicable.keys} == desk.counters.keys()
    assert desk.counter == Counter(0, 0, 0, 0, 1, 3, 1000, 100_000_000)


def test_a_refused_hold_leaves_nothing_to_write() -> None:
    desk = Desk((on_key("images:9/day"), on_user("images:2/day")))
    (outcome,), writes = desk.run(Reserve(a_hold(images=3)))
    assert isinstance(outcome, QuotaExceeded)
    assert writes == Writes()
    assert set(map(repr, desk.counters.values())) == {repr(Counter())}
    assert desk.records == {}


def test_each_command_sees_the_ones_before_it() -> None:
    desk = Desk((on_key("images:2/day"),))
    outcomes, writes = desk.run(*(Reserve(a_hold(f"r{number}")) for number in range(5)))
    assert [isinstance(outcome, Reserved) for outcome in outcomes] == [True, True, False, False, False]
    assert [row.id for row in writes.inserted] == ["r0", "r1"]


def test_a_place_freed_earlier_in_the_batch_is_taken_later_in_it() -> None:
    desk = Desk((on_key("concurrent:1"),))
    outcomes, _ = desk.run(
        Reserve(a_hold("r1")), Reserve(a_hold("r2")), Resolve("r1", released()), Reserve(a_hold("r3"))
    )
    assert [isinstance(outcome, Reserved) for outcome in outcomes] == [True, False, False, True]
    assert outcomes[2] is Resolution.DONE


def test_an_id_is_used_once() -> None:
    desk = Desk((on_key("images:9/day"),))
    outcomes, writes = desk.run(Reserve(a_hold("r1")), Reserve(a_hold("r1", images=5)))
    assert isinstance(outcomes[1], DuplicateReservation)
    assert "r1" in outcomes[1].message
    assert (len(writes.inserted), desk.counter.pending_images) == (1, 1)


def test_an_id_that_is_in_the_store_is_not_used_again() -> None:
    outcomes, writes = Desk((on_key("images:9/day"),), pending("r1")).run(Reserve(a_hold("r1")))
    assert isinstance(outcomes[0], DuplicateReservation)
    assert writes == Writes()


def test_settling_moves_pending_to_settled() -> None:
    desk = Desk((on_key("images:9/day"),))
    desk.run(Reserve(a_hold(images=3)))
    outcomes, writes = desk.run(Resolve("r1", settled(images=2)))
    assert outcomes == [Resolution.DONE]
    assert desk.counter == Counter(1, 2, 800, 80_000_000)
    ((closing, id_),) = writes.closed
    assert (id_, closing.charged) == ("r1", Amounts(1, 2, 800, 80_000_000))


def test_more_than_was_held_is_charged_all_the_same() -> None:
    desk = Desk((on_key("images:3/day"),))
    desk.run(Reserve(a_hold(images=3)))
    outcomes, _ = desk.run(Resolve("r1", settled(images=5)))
    assert outcomes == [Resolution.DONE]
    assert desk.counter.settled_images == 5


@pytest.mark.parametrize("second", [Resolve("r1", settled(images=9)), Resolve("r1", released()), Expire("r1", NOON)])
def test_a_second_resolution_is_a_named_no_op(second: Command) -> None:
    desk = Desk((on_key("images:9/day"),))
    desk.run(Reserve(a_hold()))
    outcomes, writes = desk.run(Resolve("r1", settled()), second)
    assert outcomes == [Resolution.DONE, Resolution.ALREADY_RESOLVED]
    assert len(writes.closed) == 1
    assert desk.counter == Counter(1, 1, 800, 80_000_000)
    outcomes, writes = desk.run(second)
    assert outcomes == [Resolution.ALREADY_RESOLVED]
    assert writes == Writes()


@pytest.mark.parametrize("command", [Resolve("r1", settled()), Expire("r1", NOON)])
def test_what_is_not_there_is_unknown(command: Command) -> None:
    outcomes, writes = Desk().run(command)
    assert outcomes == [Resolution.UNKNOWN]
    assert writes == Writes()


class TestAnswerThatWasLost:
    """The first try was committed, its answer never came, so it is tried again."""

    def test_the_same_resolution_is_done(self) -> None:
        desk = Desk(records=pending(), in_doubt=frozenset({"r1"}))
        desk.run(Resolve("r1", settled()))
        outcomes, writes = desk.run(Resolve("r1", settled()))
        assert outcomes == [Resolution.DONE]
        assert writes == Writes()

    def test_somebody_elses_resolution_is_not_taken_for_ours(self) -> None:
        desk = Desk(records=pending(), in_doubt=frozenset({"r1"}))
        desk.run(Resolve("r1", released()))
        assert desk.run(Resolve("r1", settled()))[0] == [Resolution.ALREADY_RESOLVED]

    def test_without_doubt_the_same_twice_is_a_bug_to_be_told(self) -> None:
        desk = Desk(records=pending())
        desk.run(Resolve("r1", settled()))
        assert desk.run(Resolve("r1", settled()))[0] == [Resolution.ALREADY_RESOLVED]


class TestDispatch:
    def test_it_is_marked_once(self) -> None:
        desk = Desk(records=pending())
        outcomes, writes = desk.run(MarkDispatched("r1", NOON), MarkDispatched("r1", NOON))
        assert outcomes == [None, None]
        assert list(writes.dispatched) == ["r1"]

    def test_what_has_ended_must_not_be_sent(self) -> None:
        desk = Desk(records=pending())
        outcomes, writes = desk.run(Expire("r1", NOON), MarkDispatched("r1", NOON))
        assert isinstance(outcomes[1], StoreUnavailable)
        assert writes.dispatched == {}

    def test_what_is_not_there_must_not_be_sent(self) -> None:
        assert isinstance(Desk().run(MarkDispatched("r1", NOON))[0][0], StoreUnavailable)

    def test_it_needs_no_counters(self) -> None:
        assert parties_needed([MarkDispatched("r1", NOON)], pending()) == {}


class TestExpiry:
    def test_dispatched_is_charged_the_hold(self) -> None:
        desk = Desk((on_key("images:9/day"),), pending(dispatched_at_ms=1))
        outcomes, writes = desk.run(Expire("r1", NOON))
        assert outcomes == [Resolution.DONE]
        assert writes.closed[0][0].charged == Amounts(1, 1, 1000, 100_000_000)

    def test_dispatched_in_the_same_batch_counts(self) -> None:
        desk = Desk(records=pending())
        _, writes = desk.run(MarkDispatched("r1", NOON), Expire("r1", NOON))
        assert writes.closed[0][0].charged_images == 1

    def test_not_dispatched_is_free(self) -> None:
        _, writes = Desk(records=pending()).run(Expire("r1", NOON))
        assert writes.closed[0][0].charged == Amounts()


def test_a_resolution_moves_the_counters_of_the_time_of_the_reservation() -> None:
    desk = Desk((on_key("images:9/minute"),))
    desk.run(Reserve(a_hold()))
    later = NOON.replace(hour=20)
    desk.run(Resolve("r1", settled(later)))
    assert len(desk.counters) == 1
    assert desk.counter.settled_images == 1


class TestThresholds:
    def crossed(self, writes: Writes) -> list[tuple[str, int, int]]:
        return [
            (threshold_event.scope, threshold_event.percent, threshold_event.used)
            for threshold_event in writes.threshold_events
        ]

    def test_a_charge_crosses_those_of_every_limit_it_counts_for(self) -> None:
        desk = Desk((on_key("images:4/day"), on_key("usd:1/day"), on_user("images:9/month"), on_key("concurrent:9")))
        desk.run(Reserve(a_hold(images=4)))
        _, writes = desk.run(Resolve("r1", settled(images=2)))
        assert self.crossed(writes) == [("key", 50, 2)]
        (threshold_event,) = writes.threshold_events
        assert isinstance(threshold_event, ThresholdEvent)
        assert threshold_event.crossed_at_ms == writes.closed[0][0].resolved_at_ms

    def test_a_hold_and_a_release_cross_nothing(self) -> None:
        desk = Desk((on_key("images:4/day"),))
        _, writes = desk.run(
            Reserve(a_hold("r1", images=4)), Resolve("r1", released()), Reserve(a_hold("r2", images=4))
        )
        assert writes.threshold_events == []

    def test_each_charge_sees_the_ones_before_it(self) -> None:
        desk = Desk((on_key("images:4/day"),))
        desk.run(*(Reserve(a_hold(f"r{number}")) for number in range(4)))
        _, writes = desk.run(*(Resolve(f"r{number}", settled()) for number in range(4)))
        first = dict[int, int]()
        for _, percent, used in self.crossed(writes):
            first.setdefault(percent, used)
        assert first == {50: 2, 100: 4}

    def test_an_expired_one_is_a_charge_too(self) -> None:
        desk = Desk((on_key("images:1/day"),), pending(dispatched_at_ms=1))
        assert self.crossed(desk.run(Expire("r1", NOON))[1]) == [("key", 50, 1), ("key", 100, 1)]
        desk = Desk((on_key("images:1/day"),), pending())
        assert desk.run(Expire("r1", NOON))[1].threshold_events == []

    def test_a_late_charge_belongs_to_the_window_of_its_reservation(self) -> None:
        desk = Desk((on_key("images:1/minute"),))
        desk.run(Reserve(a_hold()))
        _, writes = desk.run(Resolve("r1", settled(NOON.replace(hour=20))))
        assert {threshold_event.window_start_ms for threshold_event in writes.threshold_events} == {
            key.window_start_ms for key in desk.counters
        }


def test_every_command_names_its_reservation() -> None:
    commands: list[ReservationCommand] = [
        Reserve(a_hold("r")),
        MarkDispatched("r", NOON),
        Resolve("r", settled()),
        Expire("r", NOON),
    ]
    assert {reservation_id(command) for command in commands} == {"r"}
