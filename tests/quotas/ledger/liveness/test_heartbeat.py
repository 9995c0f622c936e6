"""Who lives, by whose clock, and who is never called dead too early."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine, select

from app.database.engine import reading, writing
from app.database.schema import ledger_tables
from app.errors import StoreUnavailable
from app.quotas.ledger.ledger import Ledger
from app.quotas.ledger.liveness.heartbeat import (
    Heartbeat,
    Look,
    declare_dead,
    look_at,
    overdue_at,
    prune_heartbeats,
    store_now_ms,
)
from tests.quotas.making import a_hold, running_ledger

HOUR = 3600


@dataclass
class World:
    """True time, and the database's clock, which may be set."""

    engine: Engine
    seconds: float = 1000.0
    ahead: float = 1_790_000_000.0

    def process(self, name: str, interval: float = 10) -> Heartbeat:
        return Heartbeat(self.engine, name, interval, lambda: self.seconds, lambda _: self.now_ms())

    def now_ms(self) -> int:
        return round((self.seconds + self.ahead) * 1000)

    def dead(self, heartbeat: Heartbeat) -> set[str]:
        with reading(self.engine) as connection:
            return set(heartbeat.look(connection).dead)


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


def test_the_databases_time(engine: Engine) -> None:
    with reading(engine) as connection:
        first, second = store_now_ms(connection), store_now_ms(connection)
    assert 1_700_000_000_000 < first <= second < first + 10_000


def test_three_beats_missed_are_death_and_one_more_beat_is_life(world: World) -> None:
    one, two = world.process("one"), world.process("two")
    one.beat()
    two.beat()
    for missed in (False, False, False, True):
        assert world.dead(one) == ({"two"} if missed else set())
        world.seconds += 10.1
        one.beat()
    two.beat()
    assert world.dead(one) == set()


def test_each_is_judged_by_its_own_interval(world: World) -> None:
    one, slow = world.process("one"), world.process("slow", 60)
    slow.beat()
    for _ in range(17):
        one.beat()
        world.seconds += 10
        assert world.dead(one) == set()
    world.seconds += 11
    assert world.dead(one) == {"slow"}


@pytest.mark.parametrize("jump", [HOUR, 25 * 60, 30, -30, -HOUR])
@pytest.mark.parametrize("beats_first", [True, False])
def test_a_jump_of_the_databases_clock_kills_nobody(world: World, jump: float, beats_first: bool) -> None:
    """Whoever notices it waits until all have beaten again; who is dead then is found all the same."""
    one, two, dead = (world.process(name) for name in ("one", "two", "dead"))
    for each in (one, two, dead):
        each.beat()
    world.seconds += 9
    world.ahead += jump
    if beats_first:
        one.beat()
    for _ in range(3):
        assert world.dead(one) == set()
        one.beat()
        two.beat()
        world.seconds += 10
    for _ in range(4):  # where the clock was set back, the last beat of the dead one seems to be younger
        one.beat()
        two.beat()
        world.seconds += 10
    assert world.dead(one) == {"dead"}
    assert world.dead(two) == {"dead"}


def test_who_was_paused_itself_calls_nobody_dead_at_once(world: World) -> None:
    """After an outage of the database, too: the others may only just be able to beat again."""
    one, two = world.process("one"), world.process("two")
    one.beat()
    two.beat()
    world.seconds += 600
    assert world.dead(one) == set()
    one.beat()
    assert world.dead(one) == set()
    for _ in range(4):
        world.seconds += 10
        one.beat()
    assert world.dead(one) == {"two"}


def test_who_says_goodbye_or_is_declared_dead_is_dead_at_once(world: World) -> None:
    one, two, three = (world.process(name) for name in ("one", "two", "three"))
    for each in (one, two, three):
        each.beat()
    two.stop()
    declare_dead(world.engine, "three")
    declare_dead(world.engine, "nobody")
    assert world.dead(one) == {"two", "three"}
    world.ahead += HOUR  # also to one who is not sure of the time
    assert world.dead(one) == {"two", "three"}
    three.beat()
    assert world.dead(one) == {"two"}


def test_who_missed_a_beat_is_overdue(world: World) -> None:
    one, two = world.process("one"), world.process("two", interval=60)
    one.beat()
    two.beat()
    with reading(world.engine) as connection:
        beat_at_ms = world.now_ms()
        assert overdue_at(connection, beat_at_ms + 15_000) == set()
        assert overdue_at(connection, beat_at_ms + 15_001) == {"one"}
    declare_dead(world.engine, "two")
    with reading(world.engine) as connection:
        assert overdue_at(connection, beat_at_ms) == {"two"}


def test_rows_of_the_long_dead_go_when_nothing_is_left_to_close(world: World) -> None:
    async def hold(ledger: Ledger) -> None:
        await ledger.reserve(a_hold())

    async def leave() -> None:
        async with running_ledger(world.engine, instance="left") as ledger:
            await hold(ledger)

    asyncio.run(leave())
    one = world.process("one")
    for name in ("one", "left", "gone"):
        world.process(name).beat()
    world.process("said").stop()
    later = round((world.seconds + world.ahead + 25 * HOUR) * 1000)
    with reading(world.engine) as connection:
        seen = look_at(connection, later)
    prune_heartbeats(world.engine, Look(later, seen.known, seen.dead - {"one"}))
    assert known(world.engine) == {"one", "left"}
    prune_heartbeats(world.engine, Look(later, seen.known, frozenset()))
    one.beat()
    assert known(world.engine) == {"one", "left"}


def known(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        return set(connection.execute(select(ledger_tables.heartbeats.c.instance)).scalars())


async def test_it_beats_until_it_is_cancelled_whatever_the_store_does(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heartbeat = Heartbeat(engine, "one", 0.01, asyncio.get_running_loop().time)
    beats = 0
    enough = asyncio.Event()
    loop = asyncio.get_running_loop()
    beat: Callable[[], None] = heartbeat.beat

    def troubled() -> None:
        nonlocal beats
        beats += 1
        if beats in (2, 3):
            raise StoreUnavailable("away")
        if beats == 5:
            loop.call_soon_threadsafe(enough.set)
        beat()

    monkeypatch.setattr(heartbeat, "beat", troubled)
    monkeypatch.setattr(heartbeat, "_interval_seconds", 0.2)
    running = asyncio.ensure_future(heartbeat.run())
    await asyncio.wait_for(enough.wait(), 30)
    running.cancel()
    told = [record.message for record in caplog.records if record.name == "app.quotas.ledger.liveness.heartbeat"]
    assert told[:2] == ["heartbeat_failed", "heartbeat_resumed"]
    with writing(engine) as connection:
        assert connection.execute(select(ledger_tables.heartbeats.c.beat_at_ms)).scalar_one() > 0
