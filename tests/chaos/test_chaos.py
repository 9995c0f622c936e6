"""The ledger under everything that can happen to it at once, with real processes; the judges are the sandbox's bill,
the audit, and SQL of the test's own.

`make soak SECONDS=600 SEED=7 CLIENTS=200` runs it for as long as one likes. Chance comes from the seed alone; what
processes do with it takes its own time, so a run is repeated nearly, not exactly.
"""

import asyncio
import gc
import os
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx2
import psycopg
import pytest
from sqlalchemy import select

from app.database.engine import reading
from app.database.schema import ledger_tables
from app.main import utc_now
from app.quotas.ledger.ledger import Ledger
from tests.chaos.clients import Client, Scores
from tests.chaos.judge import charged_unsent, left_open, passed_limits, tally, untrue_successes
from tests.chaos.people import administrate, make_people
from tests.chaos.world import World, still_time
from tests.servers import fetch_json

REPLICAS = 3
KILL_SECONDS = 7.0  # the mean time between two kills; there are three at least
RESTART_SECONDS = 40.0  # between two restarts of PostgreSQL; there are two at least
LOOK_SECONDS = 3.0
PATIENCE_SECONDS = 120.0
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    """What can be chosen about a run."""

    seconds: float
    seed: str
    clients: int

    def chance(self, name: str) -> random.Random:
        """The chance of one part of it, which no other part changes."""
        return random.Random(f"{self.seed} {name}")


RUN = Run(
    seconds=float(os.environ.get("CHAOS_SECONDS") or 20),
    seed=os.environ.get("CHAOS_SEED") or secrets.token_hex(4),
    clients=int(os.environ.get("CHAOS_CLIENTS") or 200),
)


@pytest.mark.xdist_group("chaos")
@pytest.mark.timeout(RUN.seconds + 400)
# HTTPX leaves a few connections of the many clients that go to the garbage collector. The gateways are other processes.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_whatever_happens_the_ledger_equals_the_bill_and_no_limit_is_passed(tmp_path: Path) -> None:
    began = time.monotonic()
    say(f"\nchaos: seed {RUN.seed}, {RUN.seconds:g} s, {RUN.clients} clients, {REPLICAS} gateways")
    scores = Scores()
    with World(tmp_path, REPLICAS) as world:
        asyncio.run(play(world, scores))
        found = [*scores.violations, *close_the_books(world, scores)]
        say(summary(world, scores, time.monotonic() - began))
    gc.collect()  # here, and not in another test
    assert not found, f"{len(found)} violations with seed {RUN.seed}:\n" + "\n".join(found)
    assert scores.outcomes["image"] > RUN.clients / 2
    assert sum(count for outcome, count in scores.outcomes.items() if outcome.startswith("refused: ")) > RUN.clients / 4
    assert sum(replica.kills for replica in world.replicas) > 1
    assert {"fast", "immediate"} <= set(world.restarts)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


async def play(world: World, scores: Scores) -> None:
    """From three gateways that start at once on an empty database to three that have stopped well."""
    async with asyncio.TaskGroup() as keepers:
        for replica in world.replicas:
            keepers.create_task(replica.keep_running(world.store_down))
        await all_up(world)
        keys = await asyncio.to_thread(make_people, world.store.engine)
        await rage(world, keys[:-1], scores)
        await all_up(world)
        await idle(world)
        roll_call = [await asyncio.to_thread(replica.call, keys[-1]) for replica in world.replicas]
        await idle(world)
        for pending in left_open(world.store_url, roll_call):
            scores.blame(pending)
        for replica in world.replicas:
            code = await asyncio.to_thread(replica.stop)
            if code != 0:
                scores.blame(f"{replica.name} stopped with {code}")


async def rage(world: World, keys: list[str], scores: Scores) -> None:
    """Everything at once, for the seconds of the run."""
    until = time.monotonic() + RUN.seconds
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(limits=limits, timeout=None) as session, asyncio.TaskGroup() as group:
        for number in range(RUN.clients):
            name, key = f"client {number}", keys[number % len(keys)]
            client = Client(name, key, world.replicas, scores, RUN.chance(name))
            group.create_task(client.work(session, world.store_down, until))
        group.create_task(kill_gateways(world, until))
        group.create_task(restart_the_store(world, until))
        group.create_task(watch_limits(world, scores, until))
        group.create_task(administrate(world.store.engine, RUN.chance("administrator"), until))


async def kill_gateways(world: World, until: float) -> None:
    chance = RUN.chance("kills")
    mean_seconds = min(KILL_SECONDS, RUN.seconds / 5)
    while await still_time(until, mean_seconds * chance.uniform(0.4, 1.6)):
        chosen = chance.choice(world.replicas)
        if sum(replica.is_down for replica in world.replicas) < REPLICAS - 1:  # one is left to serve
            chosen.kill()


async def restart_the_store(world: World, until: float) -> None:
    """Evenly over the run, by turns ended well and crashed."""
    chance = RUN.chance("store")
    count = max(2, int(RUN.seconds / RESTART_SECONDS))
    pause = (until - time.monotonic()) / (count + 1)
    for number in range(count):
        await asyncio.sleep(pause * chance.uniform(0.8, 1.0))
        mode = ("fast", "immediate")[number % 2]
        await asyncio.to_thread(world.restart_store, mode, chance.uniform(0.2, 2.5))


async def watch_limits(world: World, scores: Scores, until: float) -> None:
    """Looks at the database again and again: what is right at the end may have been wrong in between."""
    pause_seconds = 0.0
    while await still_time(until, pause_seconds):
        began = time.monotonic()
        try:
            for passed in await asyncio.to_thread(passed_limits, world.store_url):
                scores.blame(passed)
        except psycopg.OperationalError:
            if not world.store_down.touched(began, time.monotonic()):
                raise
        pause_seconds = max(LOOK_SECONDS, 10 * (time.monotonic() - began))


async def all_up(world: World) -> None:
    await eventually(lambda: not any(replica.is_down for replica in world.replicas))


async def idle(world: World) -> None:
    """Nobody is served, nor is an answer read on for a client that left; every settlement is written."""
    await eventually(lambda: not any(replica.in_flight() for replica in world.replicas))


async def eventually(happened: Callable[[], bool]) -> None:
    """Wait for what other processes do, where nothing announces it; `happened` may block."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await asyncio.to_thread(happened):
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS} s in vain"
        await asyncio.sleep(0.1)


def close_the_books(world: World, scores: Scores) -> Iterator[str]:
    """Expires what dead processes left, then everything that is wrong."""
    for replica in world.replicas:
        yield from replica.unasked
        yield from replica.complaints()
    asyncio.run(expire(world))
    environment = {"PATH": os.environ["PATH"], "GATEWAY_DATABASE_URL": world.store_url}
    audit = subprocess.run(
        [sys.executable, "-m", "app", "ledger", "audit", "--json", "--against-bill", world.bill_url],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if audit.returncode != 0:
        yield f"the audit ends with {audit.returncode}: {audit.stderr}"
    yield from (f"audit: {finding}" for finding in world.store.findings(fetch_json(world.bill_url)))
    yield from passed_limits(world.store_url)
    yield from charged_unsent(world.store_url)
    yield from untrue_successes(world.store_url, scores.images)


async def expire(world: World) -> None:
    """The sweep of an hour later, when all of them are known to be dead."""
    ledger = Ledger(world.store.engine, utc_now, instance="chaos", queue_max=1000, wait_seconds=10)
    await ledger.start()
    try:
        with reading(world.store.engine) as connection:
            instances = list(connection.execute(select(ledger_tables.heartbeats.c.instance)).scalars())
        for instance in instances:
            await ledger.expire_instance(instance)
        await ledger.expire(utc_now() + timedelta(hours=1))
    finally:
        await ledger.close()


def summary(world: World, scores: Scores, seconds: float) -> str:
    bill = fetch_json(world.bill_url)
    images = sum(entry["n"] for entry in bill["generations"])
    lines = [
        f"{scores.outcomes.total()} requests in {seconds:.0f} s, of which",
        *(f"  {count:6} {outcome}" for outcome, count in scores.outcomes.most_common()),
        f"{sum(replica.kills for replica in world.replicas)} kills, PostgreSQL restarted: {', '.join(world.restarts)}",
        f"{bill['count']} generations with {images} images on the bill, ${bill['total_cost_usd']}; rows:",
        *(f"  {count:6} {state}" for state, count in tally(world.store_url).items()),
    ]
    return "\n".join(lines)
