import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

from app.database.clock import to_ms
from app.errors import DuplicateReservation, QuotaExceeded, StoreUnavailable
from app.quotas.ledger.commands import (
    Command,
    CommandResult,
    Expire,
    MarkDispatched,
    Move,
    Reserve,
    Reserved,
    Resolve,
    Ticket,
)
from app.quotas.ledger.store import CounterVanished, Store
from app.quotas.ledger.writer import Writer
from app.quotas.rules.counters import Counter
from app.quotas.rules.reservation import Resolution
from app.quotas.rules.thresholds import NamedThresholdEvent, ThresholdEvent, Thresholds, Watch
from tests.quotas.faults import Trouble, install
from tests.quotas.making import (
    NOON,
    a_hold,
    counters,
    errors,
    events,
    on_key,
    on_team,
    released,
    remove_limits,
    rows,
    set_limits,
    settled,
    states,
)
from tests.servers import wait_until


class Desk:
    """A writer and what it delivered. `do` waits for the outcomes."""

    def __init__(self, engine: Engine, queue_max: int = 100) -> None:
        watch = Watch((50, 100), announce=self._announce)
        self.writer = Writer(engine, instance="one", queue_max=queue_max, deliver=self._deliver, watch=watch)
        self.batches: list[list[Command]] = []
        self.in_doubt: set[str] = set()
        self.announced: list[NamedThresholdEvent] = []

    def _announce(self, crossed: Sequence[NamedThresholdEvent]) -> None:
        self.announced += crossed

    def _deliver(self, served: Sequence[tuple[Ticket, CommandResult]]) -> None:
        self.batches.append([ticket.command for ticket, _ in served])
        for ticket, outcome in served:
            if ticket.in_doubt:
                self.in_doubt.add(repr(ticket.command))
            ticket.waiter.append(outcome)
            ticket.waiter.done.set()

    def submit(self, command: Command) -> Ticket:
        ticket = Ticket(command, Waiter())
        self.writer.submit(ticket)
        return ticket

    def do(self, *commands: Command) -> list[Any]:
        return [outcome_of(ticket) for ticket in [self.submit(command) for command in commands]]


class Waiter(list[Any]):
    def __init__(self) -> None:
        self.done = threading.Event()


def outcome_of(ticket: Ticket) -> Any:
    assert ticket.waiter.done.wait(30)
    (outcome,) = ticket.waiter
    return outcome


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> Trouble:
    return install(monkeypatch, engine.dialect.loaded_dbapi)


@contextmanager
def desks() -> Iterator[Callable[..., Desk]]:
    """Makes and starts desks, with the arguments of Desk, and closes them at the end."""
    made: list[Desk] = []

    def make(engine: Engine, queue_max: int = 100) -> Desk:
        made.append(Desk(engine, queue_max))
        made[-1].writer.start()
        return made[-1]

    yield make
    for desk in made:
        desk.writer.close(10)


@pytest.fixture
def make_desk(engine: Engine) -> Iterator[Callable[..., Desk]]:
    with desks() as make:
        yield partial(make, engine)


@pytest.fixture
def desk(trouble: Trouble, make_desk: Callable[..., Desk]) -> Desk:
    return make_desk()


def is_away(outcome: object) -> bool:
    return isinstance(outcome, StoreUnavailable)


def test_what_waits_goes_into_one_transaction(desk: Desk, trouble: Trouble, engine: Engine) -> None:
    trouble.hold_back()
    tickets = [desk.submit(Reserve(a_hold("first")))]
    assert trouble.began.wait(30)
    tickets += [desk.submit(Reserve(a_hold(f"r{number}"))) for number in range(20)]
    trouble.may_begin.set()
    assert [outcome_of(ticket) for ticket in tickets] == [Reserved(None)] * 21
    assert [len(batch) for batch in desk.batches] == [1, 20]
    assert len(states(engine)) == 21


@pytest.mark.parametrize(("first_batch", "expected"), [(3, [1, 3, 1, 1]), (4, [1, 4, 2])])
def test_a_busy_writer_lets_more_come_before_the_next_transaction(
    desk: Desk, trouble: Trouble, engine: Engine, monkeypatch: pytest.MonkeyPatch, first_batch: int, expected: list[int]
) -> None:
    late: list[Ticket] = []
    # What comes while the writer gathers; without that, it comes once the one before it is written.
    monkeypatch.setattr("time.sleep", lambda _: late.append(desk.submit(Reserve(a_hold("late")))))
    trouble.hold_back()
    tickets = [desk.submit(Reserve(a_hold("stopper")))]
    assert trouble.began.wait(30)
    tickets += [desk.submit(Reserve(a_hold(f"r{number}"))) for number in range(first_batch)]
    trouble.may_begin.set()
    outcomes = [outcome_of(ticket) for ticket in tickets]
    outcomes.append(outcome_of(desk.submit(Reserve(a_hold("next")))))
    late = late or [desk.submit(Reserve(a_hold("late")))]
    outcomes.append(outcome_of(late[0]))
    assert outcomes == [Reserved(None)] * (first_batch + 3)
    assert [len(batch) for batch in desk.batches] == expected
    assert len(states(engine)) == first_batch + 3


def test_a_life_of_a_reservation(desk: Desk, engine: Engine) -> None:
    set_limits(engine, on_key("images:5/day"), on_team("usd:1/month"))
    assert desk.do(Reserve(a_hold(images=2)), MarkDispatched("r1", NOON)) == [Reserved(None), None]
    assert counters(engine)["key", "key-1", "", "day"]["pending_images"] == 2
    assert desk.do(Resolve("r1", settled(images=1))) == [Resolution.DONE]
    assert counters(engine) == {
        ("key", "key-1", "", "day"): {
            "settled_requests": 1,
            "settled_images": 1,
            "settled_tokens": 800,
            "settled_nanousd": 80_000_000,
        },
        ("team", "team-1", "", "month"): {
            "settled_requests": 1,
            "settled_images": 1,
            "settled_tokens": 800,
            "settled_nanousd": 80_000_000,
        },
    }
    assert errors(engine) == []


def test_a_reservation_that_moves_twice_in_one_batch_is_where_it_went_last(
    desk: Desk, trouble: Trouble, engine: Engine
) -> None:
    desk.do(Reserve(a_hold("r1")))
    trouble.hold_back()
    stopper = desk.submit(Reserve(a_hold("stopper")))
    assert trouble.began.wait(30)
    moves = [desk.submit(Move("r1", to, NOON, sent)) for to, sent in (("second", False), ("third", True))]
    trouble.may_begin.set()
    assert [outcome_of(ticket) for ticket in (stopper, *moves)] == [Reserved(None), None, None]
    row = rows(engine)["r1"]
    assert (row["account"], row["dispatched_at_ms"]) == ("third", to_ms(NOON))


def test_a_refusal_writes_nothing(desk: Desk, engine: Engine) -> None:
    set_limits(engine, on_key("images:5/day"), on_team("images:1/day"))
    (outcome,) = desk.do(Reserve(a_hold(images=2)))
    assert isinstance(outcome, QuotaExceeded)
    assert rows(engine) == {}
    assert set(map(str, counters(engine).values())) == {"{}"}


def test_limits_apply_from_the_moment_they_are_set(desk: Desk, engine: Engine) -> None:
    assert desk.do(Reserve(a_hold("r1", images=3))) == [Reserved(None)]
    set_limits(engine, on_key("images:4/day"))
    (outcome,) = desk.do(Reserve(a_hold("r2", images=2)))
    assert isinstance(outcome, QuotaExceeded)
    assert "1 image left" in outcome.message
    set_limits(engine, on_key("images:5/day"))
    assert desk.do(Reserve(a_hold("r2", images=2))) == [Reserved(None)]
    remove_limits(engine, on_key("images:5/day"))
    assert desk.do(Reserve(a_hold("r3", images=99))) == [Reserved(None)]
    assert counters(engine) == {}


@pytest.mark.parametrize("where", ["connect", "begin", "write", "commit"])
def test_while_the_store_is_away_reserves_are_told_and_resolutions_wait(
    desk: Desk, trouble: Trouble, engine: Engine, where: str
) -> None:
    set_limits(engine, on_key("images:9/day"))
    desk.do(Reserve(a_hold("old")))
    trouble.hold_back()
    tickets = [desk.submit(command) for command in (Reserve(a_hold("stopper")),)]
    assert trouble.began.wait(30)
    tickets += [desk.submit(command) for command in (Reserve(a_hold("new")), Resolve("old", settled()))]
    trouble.fail("begin" if where == "connect" else where, 2)
    trouble.fail("connect", 2 if where == "connect" else 0)
    trouble.may_begin.set()
    outcomes = [outcome_of(ticket) for ticket in tickets]
    assert is_away(outcomes[0])
    assert is_away(outcomes[1]) or outcomes[1] == Reserved(None)
    assert outcomes[2] is Resolution.DONE
    assert states(engine)["old"] == "settled"
    assert "stopper" not in states(engine)
    assert errors(engine) == []


def test_a_commit_without_an_answer_happened_once(desk: Desk, trouble: Trouble, engine: Engine) -> None:
    set_limits(engine, on_key("images:9/day"))
    desk.do(Reserve(a_hold("r1")))
    trouble.fail("answer")
    assert desk.do(Resolve("r1", settled(images=2))) == [Resolution.DONE]
    assert counters(engine)["key", "key-1", "", "day"]["settled_images"] == 2
    assert errors(engine) == []


@pytest.mark.parametrize("where", ["begin", "write", "commit", "answer"])
def test_a_crossed_threshold_is_announced_once_whatever_becomes_of_its_first_try(
    desk: Desk, trouble: Trouble, engine: Engine, where: str
) -> None:
    set_limits(engine, on_key("images:4/day"))
    desk.do(Reserve(a_hold("r1")), Reserve(a_hold("r2")))
    trouble.fail(where)
    assert desk.do(Resolve("r1", settled(images=2))) == [Resolution.DONE]
    desk.do(Resolve("r2", settled(images=1)))
    assert desk.writer.close(30) == []
    assert [(told.threshold_event.percent, told.threshold_event.used) for told in desk.announced] == [(50, 2)]
    assert [(event["percent"], event["used"]) for event in events(engine)] == [(50, 2)]


def test_other_percentages_count_from_the_next_transaction_on(desk: Desk, engine: Engine) -> None:
    """Those that were crossed before under other ones are reported at the next charge, as after a restart."""
    set_limits(engine, on_key("images:4/day"))
    for number in range(4):
        if number == 2:
            desk.writer.thresholds = Thresholds(Watch((25, 75)))
        desk.do(Reserve(a_hold(f"r{number}")), Resolve(f"r{number}", settled()))
    wait_until(lambda: len(desk.announced) == 3, "they are announced")
    assert [told.threshold_event.percent for told in desk.announced] == [50, 25, 75]


def test_one_that_another_process_wrote_is_not_announced(desk: Desk, trouble: Trouble, engine: Engine) -> None:
    set_limits(engine, on_key("images:4/day"))
    desk.do(Reserve(a_hold("r1", images=4)), Reserve(a_hold("r2")))
    other = Desk(engine)
    other.writer.start()
    other.do(Resolve("r1", settled(images=2)))
    assert other.writer.close(30) == []
    desk.do(Resolve("r2", settled(images=1)))
    assert desk.writer.close(30) == []
    assert (len(other.announced), len(desk.announced), len(events(engine))) == (1, 0, 1)


def test_what_is_known_to_be_written_is_not_asked_for_again(
    desk: Desk, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_limits(engine, on_key("images:4/day"))
    asked: list[int] = []
    write = Store.write_threshold_events

    def counted(store: Store, threshold_events: Sequence[ThresholdEvent]) -> list[NamedThresholdEvent]:
        asked.append(len(threshold_events))
        return write(store, threshold_events)

    monkeypatch.setattr(Store, "write_threshold_events", counted)
    desk.do(*(Reserve(a_hold(f"r{number}")) for number in range(4)))
    for number in range(4):
        desk.do(Resolve(f"r{number}", settled()))
    assert [count for count in asked if count] == [1, 1]  # half, and all of it


def test_a_correction_without_an_answer_is_known_again(desk: Desk, trouble: Trouble, engine: Engine) -> None:
    desk.do(Reserve(a_hold("r1")), Expire("r1", NOON))
    trouble.fail("answer")
    assert desk.do(Resolve("r1", settled())) == [Resolution.CORRECTED]
    assert desk.do(Resolve("r1", settled())) == [Resolution.ALREADY_RESOLVED]


def test_a_reserve_without_an_answer_is_in_doubt(desk: Desk, trouble: Trouble, engine: Engine) -> None:
    for where, expected in (("commit", {}), ("answer", {"r1": "pending"})):
        trouble.fail(where)
        assert is_away(desk.do(Reserve(a_hold("r1")))[0])
        assert desk.in_doubt == {repr(Reserve(a_hold("r1")))}
        assert states(engine) == expected


def test_a_reserve_that_failed_before_its_commit_is_not_in_doubt(desk: Desk, trouble: Trouble, engine: Engine) -> None:
    trouble.fail("write", 5)
    assert is_away(desk.do(Reserve(a_hold("r1")))[0])
    assert desk.in_doubt == set()
    assert states(engine) == {}


def test_a_dead_connection_is_replaced_before_anybody_notices(desk: Desk, trouble: Trouble) -> None:
    assert desk.do(Reserve(a_hold("r1"))) == [Reserved(None)]
    trouble.fail("begin")
    assert desk.do(Reserve(a_hold("r2"))) == [Reserved(None)]


def test_conflicts_between_processes_are_tried_again(desk: Desk, trouble: Trouble) -> None:
    trouble.error = CounterVanished
    trouble.fail("begin", 4)
    assert desk.do(Reserve(a_hold("r1"))) == [Reserved(None)]
    trouble.fail("begin", 5)
    assert is_away(desk.do(Reserve(a_hold("r2")))[0])


@pytest.mark.parametrize("command", [Reserve(a_hold("bad", images=2**70)), Resolve("old", settled(duration_ms=2**70))])
def test_a_command_that_cannot_be_carried_out_does_not_poison_the_others(
    desk: Desk, trouble: Trouble, engine: Engine, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    set_limits(engine, on_team("tokens:1000000/day"))
    desk.do(Reserve(a_hold("old")), Reserve(a_hold("r0")))
    trouble.hold_back()
    stopper = desk.submit(Reserve(a_hold("stopper")))
    assert trouble.began.wait(30)
    tickets = [
        desk.submit(each)
        for each in (
            Reserve(a_hold("r1")),
            command,
            Resolve("r0", settled()),
            Reserve(a_hold("r1")),
            Reserve(a_hold("r2")),
        )
    ]
    trouble.may_begin.set()
    outcome_of(stopper)
    first, bad, resolution, duplicate, second = [outcome_of(ticket) for ticket in tickets]
    assert (first, resolution, second) == (Reserved(None), Resolution.DONE, Reserved(None))
    assert is_away(bad)
    assert isinstance(duplicate, DuplicateReservation)
    assert "cannot carry out" in caplog.text
    assert states(engine) == {
        "old": "pending",
        "r0": "settled",
        "stopper": "pending",
        "r1": "pending",
        "r2": "pending",
    }
    assert counters(engine)["team", "team-1", "", "day"]["pending_requests"] == 4
    assert errors(engine) == []


class TestQueue:
    def test_when_it_is_full_reserves_are_refused_and_nothing_else(
        self, trouble: Trouble, make_desk: Callable[..., Desk], engine: Engine
    ) -> None:
        desk = make_desk(queue_max=2)
        desk.do(Reserve(a_hold("old")))
        trouble.hold_back()
        tickets = [desk.submit(Reserve(a_hold("stopper")))]
        assert trouble.began.wait(30)
        tickets += [desk.submit(Reserve(a_hold(f"r{number}"))) for number in range(2)]
        with pytest.raises(StoreUnavailable, match="cannot keep up"):
            desk.submit(Reserve(a_hold("r2")))
        tickets += [desk.submit(MarkDispatched("old", NOON)), desk.submit(Resolve("old", settled()))]
        trouble.may_begin.set()
        assert [outcome_of(ticket) for ticket in tickets] == [*[Reserved(None)] * 3, None, Resolution.DONE]
        assert set(states(engine)) == {"old", "stopper", "r0", "r1"}

    def test_a_command_can_be_taken_back_until_it_is_begun(self, desk: Desk, trouble: Trouble, engine: Engine) -> None:
        trouble.hold_back()
        begun = desk.submit(Reserve(a_hold("begun")))
        assert trouble.began.wait(30)
        waiting = desk.submit(Reserve(a_hold("waiting")))
        for ticket in (waiting, waiting, begun):
            desk.writer.withdraw(ticket)
        trouble.may_begin.set()
        outcome_of(begun)
        assert set(states(engine)) == {"begun"}


class TestClose:
    def test_it_writes_what_waits(self, desk: Desk, trouble: Trouble, engine: Engine) -> None:
        trouble.hold_back()
        tickets = [desk.submit(Reserve(a_hold(f"r{number}"))) for number in range(99)]
        trouble.may_begin.set()
        assert desk.writer.close(30) == []
        assert [outcome_of(ticket) for ticket in tickets] == [Reserved(None)] * 99
        assert len(states(engine)) == 99

    def test_it_takes_no_more(self, desk: Desk) -> None:
        desk.writer.close(30)
        with pytest.raises(StoreUnavailable, match="stopping"):
            desk.submit(Reserve(a_hold()))
        with pytest.raises(StoreUnavailable, match="stopping"):
            desk.submit(Resolve("r1", released()))

    def test_what_cannot_be_written_is_handed_back(self, desk: Desk, trouble: Trouble, engine: Engine) -> None:
        desk.do(Reserve(a_hold("r1")))
        trouble.fail("commit", 10**6)
        tickets = [desk.submit(Resolve("r1", settled())), desk.submit(Resolve("r2", settled()))]
        assert desk.writer.close(0.2) == tickets
        assert states(engine) == {"r1": "pending"}

    def test_a_writer_that_was_never_started_closes_too(self, engine: Engine) -> None:
        assert Writer(engine, instance="x", queue_max=1, deliver=lambda _: None).close(1) == []


def test_a_broken_listener_does_not_end_the_thread(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    heard = threading.Event()

    def deliver(served: Sequence[tuple[Ticket, CommandResult]]) -> None:
        heard.set()
        raise ZeroDivisionError

    writer = Writer(engine, instance="x", queue_max=9, deliver=deliver)
    writer.start()
    for number in range(2):
        writer.submit(Ticket(Reserve(a_hold(f"r{number}"))))
        assert heard.wait(30)
        heard.clear()
    assert writer.close(10) == []
    assert "failed; it goes on" in caplog.text


def test_readers_that_take_every_connection_do_not_keep_it_from_connecting(
    desk: Desk, trouble: Trouble, engine: Engine
) -> None:
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(engine.connect())
        assert desk.do(Reserve(a_hold("r1"))) == [Reserved(None)]
        trouble.fail("begin")
        assert desk.do(Reserve(a_hold("r2"))) == [Reserved(None)]


def test_it_knows_what_is_not_written_and_whether_the_store_is_away(desk: Desk, trouble: Trouble) -> None:
    desk.do(Reserve(a_hold("r1")))
    trouble.hold_back()
    tickets = [desk.submit(Resolve("r1", settled()))]
    assert trouble.began.wait(30)
    desk.submit(Reserve(a_hold("r2")))
    tickets += [desk.submit(Resolve("nobody", settled()))]
    assert (desk.writer.unwritten_resolutions(), desk.writer.is_store_away) == (tickets, False)
    trouble.fail("begin", 10**9)
    trouble.may_begin.set()
    wait_until(lambda: desk.writer.is_store_away, "the store was found away")
    assert desk.writer.unwritten_resolutions() == tickets
    trouble.fail("begin", 0)
    assert [outcome_of(ticket) for ticket in tickets] == [Resolution.DONE, Resolution.UNKNOWN]
    assert (desk.writer.unwritten_resolutions(), desk.writer.is_store_away) == ([], False)


def test_a_database_that_is_not_there_is_away(tmp_path: Any) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/none/there.db")
    desk = Desk(engine)
    desk.writer.start()
    assert is_away(desk.do(Reserve(a_hold()))[0])
    assert desk.writer.close(5) == []


def test_counters_start_empty() -> None:
    assert Counter() == Counter(0)
