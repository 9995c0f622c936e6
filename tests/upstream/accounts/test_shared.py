"""What processes share of the accounts, on both engines: an operator's word reaches all, and is not undone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from app.database import migrate
from app.database.changes import list_changes
from app.database.engine import create_engine, reading, writing
from app.errors import NoAccountUp
from app.quotas.ledger.liveness.heartbeat import Heartbeat
from app.settings.accounts import AccountOrder, AccountSpec
from app.upstream.accounts.accounts import Accounts
from app.upstream.accounts.shared import (
    SharedState,
    Sharing,
    living_states,
    operator_words,
    publish,
    rest_account,
    resume_account,
)
from app.upstream.accounts.states import Availability, Why
from tests.quotas.making import NOON, StillClock, a_change

MODEL = "any"


@dataclass
class Process:
    """A process with two accounts, `a` before `b`."""

    engine: Engine
    clock: StillClock
    name: str

    def __post_init__(self) -> None:
        specs = [AccountSpec(name, SecretStr(name)) for name in "ab"]
        self.accounts = Accounts(specs, AccountOrder.PRIORITY, "http://x", self._seconds, lambda: 0.0)
        self.sharing = Sharing(self.engine, self.accounts, self.name, self.clock)

    def _seconds(self) -> float:
        return (self.clock.now - NOON).total_seconds()

    def chosen(self) -> str:
        return self.accounts.choose(MODEL)[0].name


@pytest.fixture
def engine(empty_store_url: str) -> Iterator[Engine]:
    engine = create_engine(empty_store_url)
    migrate.upgrade(engine)
    yield engine
    engine.dispose()


def rest(engine: Engine, clock: StillClock, minutes: int | None = None) -> None:
    until = None if minutes is None else clock.now + timedelta(minutes=minutes)
    with writing(engine) as connection:
        rest_account(connection, "a", until, a_change(clock.now))


def resume(engine: Engine, clock: StillClock) -> None:
    with writing(engine) as connection:
        resume_account(connection, "a", a_change(clock.now))


async def test_what_an_operator_says_reaches_every_process(engine: Engine) -> None:
    clock = StillClock()
    processes = [Process(engine, clock, name) for name in ("one", "other")]
    for process in processes:
        await process.sharing.exchange()
    rest(engine, clock)
    for process in processes:
        await process.sharing.exchange()
    assert [process.chosen() for process in processes] == ["b", "b"]
    clock.forward(seconds=1)
    resume(engine, clock)
    for process in processes:
        await process.sharing.exchange()
    assert [process.chosen() for process in processes] == ["a", "a"]
    with reading(engine) as connection:
        assert [(each.action, each.target) for each in list_changes(connection, 9)] == [
            ("account.resume", "account a"),
            ("account.rest", "account a"),
        ]


async def test_a_process_that_starts_later_obeys_too(engine: Engine) -> None:
    clock = StillClock()
    rest(engine, clock)
    late = Process(engine, clock, "late")
    await late.sharing.exchange()
    assert late.chosen() == "b"


async def test_a_rest_with_an_end_ends_by_itself(engine: Engine) -> None:
    clock = StillClock()
    process = Process(engine, clock, "one")
    rest(engine, clock, minutes=30)
    await process.sharing.exchange()
    assert process.chosen() == "b"
    clock.forward(minutes=31)
    assert process.chosen() == "a"
    await process.sharing.exchange()
    assert process.chosen() == "a"


async def test_resuming_brings_back_what_a_process_has_learnt_to_be_down(engine: Engine) -> None:
    clock = StillClock()
    process = Process(engine, clock, "one")
    await process.sharing.exchange()
    account, chosen_at = process.accounts.choose(MODEL)
    process.accounts.note_refused(account, Why.CREDIT, chosen_at, None)
    await process.sharing.exchange()
    assert process.chosen() == "b"
    clock.forward(seconds=1)
    resume(engine, clock)
    await process.sharing.exchange()
    assert process.chosen() == "a"
    clock.forward(seconds=1)
    account, chosen_at = process.accounts.choose(MODEL)
    process.accounts.note_refused(account, Why.CREDIT, chosen_at, None)
    await process.sharing.exchange()  # the same word is not heard twice
    assert process.chosen() == "b"


async def test_each_process_says_what_it_has_learnt_and_the_dead_say_nothing(engine: Engine) -> None:
    clock = StillClock()
    for name in ("one", "other"):
        Heartbeat(engine, name, 10, lambda: 0.0).beat()
    process = Process(engine, clock, "one")
    account, chosen_at = process.accounts.choose(MODEL)
    process.accounts.note_refused(account, Why.RATE, chosen_at, 30.0)
    await process.sharing.exchange()
    await Process(engine, clock, "other").sharing.exchange()
    with writing(engine) as connection:
        publish(connection, "forgotten", [SharedState("a", "forgotten", Availability.UP, None, None)], clock.now)
    clock.forward(seconds=31)
    await process.sharing.exchange()
    with reading(engine) as connection:
        found = living_states(connection, frozenset({"other"}))
    assert [(each.account, each.instance, each.state) for each in found] == [
        ("a", "one", Availability.UP),
        ("b", "one", Availability.UP),
    ]


async def test_a_rest_is_published_with_its_end(engine: Engine) -> None:
    clock = StillClock()
    process = Process(engine, clock, "one")
    account, chosen_at = process.accounts.choose(MODEL)
    process.accounts.note_refused(account, Why.RATE, chosen_at, 30.0)
    await process.sharing.exchange()
    with reading(engine) as connection:
        found = living_states(connection, frozenset())
    until = NOON.replace(microsecond=0) + timedelta(seconds=30)
    assert found[0] == SharedState("a", "one", Availability.RESTING, "rate_limit", until)


async def test_while_the_database_is_away_what_is_known_stays(engine: Engine) -> None:
    clock = StillClock()
    process = Process(engine, clock, "one")
    rest(engine, clock)
    await process.sharing.exchange()
    with writing(engine) as connection:
        connection.exec_driver_sql("DROP TABLE account_states")
    await process.sharing.exchange()
    with pytest.raises(NoAccountUp):
        process.accounts.choose(MODEL, {"b"})


def test_an_operators_last_word_counts(engine: Engine) -> None:
    clock = StillClock()
    rest(engine, clock)
    clock.forward(minutes=1)
    rest(engine, clock, minutes=5)
    with reading(engine) as connection:
        (word,) = operator_words(connection).values()
    assert (word.is_up, word.until, word.at) == (False, NOON + timedelta(minutes=6), NOON + timedelta(minutes=1))
