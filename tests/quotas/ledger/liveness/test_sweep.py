"""What is closed when a process dies, and what never is. Time is told here: no test waits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from app.database.clock import to_ms
from app.errors import StoreUnavailable
from app.exchange.tasks import Tasks
from app.quotas.ledger.ledger import Ledger
from app.quotas.ledger.liveness.heartbeat import Heartbeat
from app.quotas.ledger.liveness.sweep import expire_dead
from tests.quotas.making import (
    NOON,
    StillClock,
    a_hold,
    errors,
    on_key,
    released,
    running_ledger,
    set_limits,
    settled,
    states,
)


@dataclass
class Replica:
    """A process: its own clock may be wrong, and it may be paused."""

    ledger: Ledger
    clock: StillClock
    heartbeat: Heartbeat


@dataclass
class Fleet:
    """Several processes on one database, by whose clock they are judged."""

    engine: Engine
    seconds: float = 0.0
    store_ahead: float = 0.0
    replicas: dict[str, Replica] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)

    def heartbeat(self, name: str) -> Heartbeat:
        return Heartbeat(
            self.engine,
            name,
            10,
            lambda: self.seconds,
            lambda _: to_ms(NOON + timedelta(seconds=self.seconds + self.store_ahead)),
        )

    @asynccontextmanager
    async def replica(self, name: str, ahead: timedelta = timedelta()) -> AsyncIterator[Replica]:
        clock, heartbeat = StillClock(NOON + ahead), self.heartbeat(name)
        ledger = Ledger(self.engine, clock, instance=name, queue_max=1000, wait_seconds=30)
        await ledger.start(heartbeat=heartbeat)
        self.replicas[name] = made = Replica(ledger, clock, heartbeat)
        try:
            yield made
        finally:
            await ledger.close()

    def wait(self, seconds: float) -> None:
        """All that are not paused beat every ten seconds."""
        end = self.seconds + seconds
        while self.seconds < end:
            step = min(10, end - self.seconds)
            self.seconds += step
            for name, replica in self.replicas.items():
                replica.clock.forward(seconds=step)
                if name not in self.paused:
                    replica.heartbeat.beat()


@pytest.fixture
def fleet(engine: Engine) -> Fleet:
    return Fleet(engine)


async def hold(replica: Replica, *ids: str, sent: bool = True) -> None:
    for id_ in ids:
        await replica.ledger.reserve(a_hold(id_, at=replica.clock(), is_dispatched=sent))


async def test_what_a_dead_process_left_is_closed_within_a_minute(fleet: Fleet) -> None:
    """On both engines, long before its reservations are over; then the limits of the other are right."""
    set_limits(fleet.engine, on_key("concurrent:50"))
    async with fleet.replica("dead") as dead, fleet.replica("other") as other:
        ids = [f"r{number}" for number in range(50)]
        await asyncio.gather(*(dead.ledger.reserve(a_hold(id_)) for id_ in ids))
        fleet.paused.add("dead")
        fleet.wait(20)
        assert await other.ledger.expire(other.clock()) == []
        fleet.wait(25)
        assert sorted(await other.ledger.expire(other.clock())) == sorted(ids)
        await hold(other, "next")
        assert errors(fleet.engine) == []


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(minutes=25), -timedelta(hours=1)])
async def test_nobodys_clock_expires_what_runs(fleet: Fleet, jump: timedelta) -> None:
    """Neither that of the process itself, nor that of another replica, nor that of the database."""
    async with fleet.replica("one") as one, fleet.replica("ahead", jump) as ahead:
        await hold(one, "r1")
        await hold(ahead, "r2")
        one.clock.now += jump * 2
        for _ in range(5):
            for each in (one, ahead):
                assert await each.ledger.expire(each.clock()) == []
            fleet.wait(10)
        fleet.store_ahead += jump.total_seconds()
        for _ in range(8):
            for each in (one, ahead):
                assert await each.ledger.expire(each.clock()) == []
            fleet.wait(10)
        for each, id_ in ((one, "r1"), (ahead, "r2")):
            await each.ledger.resolve(id_, settled(each.clock()))
        assert set(states(fleet.engine).values()) == {"settled"}


async def test_a_long_request_of_a_living_process_is_its_own_business(fleet: Fleet) -> None:
    async with fleet.replica("one") as one, fleet.replica("other") as other:
        await hold(one, "r1")
        fleet.wait(3600)
        assert await one.ledger.expire(one.clock()) == []
        assert await other.ledger.expire(other.clock()) == []


async def test_what_a_process_lost_itself_is_closed_when_its_time_is_over(fleet: Fleet) -> None:
    """A settlement that could not be is a bug; the reservation does not count for ever all the same."""
    async with fleet.replica("one") as one:
        await hold(one, "r1", "runs")
        with pytest.raises(ValueError, match="negative"):
            one.ledger.resolve("r1", settled(nanousd=-1))
        assert await one.ledger.expire(one.clock()) == []
        fleet.wait(25 * 60)
        assert await one.ledger.expire(one.clock()) == ["r1"]


async def test_a_process_known_to_be_dead_is_closed_at_once(fleet: Fleet) -> None:
    async with fleet.replica("dead") as dead, fleet.replica("other") as other:
        await hold(dead, "sent")
        await hold(dead, "unsent", sent=False)
        await hold(other, "runs")
        fleet.paused.add("dead")
        assert sorted(await other.ledger.expire_instance("dead")) == ["sent", "unsent"]
        assert await other.ledger.expire_instance("dead") == []
        assert await other.ledger.expire_instance("nobody") == []
        assert states(fleet.engine)["runs"] == "pending"
        assert errors(fleet.engine) == []


async def test_deaths_are_taken_one_after_the_other_and_an_outage_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked, dead, is_done = list[str](), asyncio.Queue[str](), asyncio.Event()

    class Expiring:
        async def expire_instance(self, instance: str) -> list[str]:
            asked.append(instance)
            if instance == "last":
                is_done.set()
            if instance == "away":
                raise StoreUnavailable("away")
            return [f"of {instance}"]

    for instance in ("one", "away", "two", "last"):
        dead.put_nowait(instance)
    closing = Tasks().start(expire_dead(Expiring(), dead), "closing")
    await is_done.wait()
    closing.cancel()
    assert asked == ["one", "away", "two", "last"]
    told = [record.__dict__.get("request_id") for record in caplog.records if record.levelname == "WARNING"]
    assert told[:3] == ["of one", None, "of two"]


async def test_what_a_process_that_ended_well_could_not_close_is_closed_at_once(fleet: Fleet) -> None:
    async with fleet.replica("other") as other:
        async with fleet.replica("one") as one:
            await hold(one, "r1")
        assert await other.ledger.expire(other.clock()) == ["r1"]


async def test_who_has_no_heartbeat_is_of_an_older_version_and_lives_until_its_time_is_over(fleet: Fleet) -> None:
    async with running_ledger(fleet.engine, instance="old") as old, fleet.replica("new") as new:
        await old.reserve(a_hold("r1"))
        await old.reserve(a_hold("r2"))
        await old.resolve("r2", released())
        fleet.wait(600)
        assert await new.ledger.expire(new.clock()) == []
        fleet.wait(601)
        assert await new.ledger.expire(new.clock()) == ["r1"]
