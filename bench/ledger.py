"""How many reservations a second one process reserves and settles, and what a pair costs. By hand:

    python bench/ledger.py                                      SQLite in a temporary folder
    python bench/ledger.py postgresql://user@host/empty_database
    python bench/ledger.py --concurrency 256 --keys 1000

Every pair waits for its two commits. CPU is this process's own, all threads; a PostgreSQL server's is not in it.
"""

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop

from app.database.changes import Change
from app.database.engine import create_engine, writing
from app.database.migrate import upgrade
from app.quotas.administration import set_limit
from app.quotas.ledger import Ledger
from app.quotas.limits import Scope, parse_limit
from app.quotas.reservation import Amounts, Hold, Settlement, State, UsageSource


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a benchmark is its own clock


@dataclass(frozen=True)
class Load:
    """What is measured: so many at a time, of so many keys, for so long, with limits on the team and on each key."""

    concurrency: int
    keys: int
    seconds: float
    team_limits: tuple[str, ...] = ("usd:1000000/month",)
    key_limits: tuple[str, ...] = ("images:100000000/day",)


def hold(number: int, key: int) -> Hold:
    at = now()
    return Hold(
        id=f"req_{number:016x}",
        key_id=f"key-{key}",
        user_id=f"user-{key}",
        team_id="team",
        operation="generation",
        model="openai/gpt-image-2",
        size="1024x1024",
        quality="high",
        streamed=False,
        amounts=Amounts(1, 1, 4160, 130_000_000),
        reserved_at=at,
        expires_at=at + timedelta(minutes=20),
    )


def settlement() -> Settlement:
    return Settlement(
        state=State.SETTLED,
        outcome="completed",
        usage_source=UsageSource.REPORTED,
        charged=Amounts(1, 1, 4100, 120_000_000),
        usage=None,
        priced=True,
        client_left=False,
        upstream_status=200,
        upstream_request_id="up",
        first_byte_ms=1,
        duration_ms=1,
        resolved_at=now(),
    )


async def measure(ledger: Ledger, load: Load) -> None:
    """Runs the load and prints one line."""
    numbers = iter(range(2**62))
    waits: list[float] = []
    stop_at = time.perf_counter() + load.seconds

    async def caller() -> None:
        while (began := time.perf_counter()) < stop_at:
            number = next(numbers)
            taken = hold(number, number % load.keys)
            await ledger.reserve(taken)
            await ledger.resolve(taken.id, settlement())
            waits.append(time.perf_counter() - began)

    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(load.concurrency)))
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    waits.sort()
    print(  # noqa: T201 - what a benchmark is for
        f"{load.concurrency:4} at a time, {load.keys:5} keys: {len(waits) / took:8.0f} pairs/s, "
        f"{cpu / len(waits) * 1e6:6.1f} µs CPU a pair, p50 {statistics.median(waits) * 1e3:.2f} ms, "
        f"p99 {waits[len(waits) * 99 // 100] * 1e3:.2f} ms"
    )


async def run(url: str, load: Load) -> None:
    engine = create_engine(url)
    upgrade(engine)
    ids = (f"{number:x}" for number in range(2**31))
    change = Change("bench", now(), lambda: next(ids))
    with writing(engine) as connection:
        for written in load.team_limits:
            set_limit(connection, parse_limit(written).on(Scope.TEAM, "team"), change=change)
        for key in range(load.keys):
            for written in load.key_limits:
                set_limit(connection, parse_limit(written).on(Scope.KEY, f"key-{key}"), change=change)
    ledger = Ledger(engine, now, instance="bench", queue_max=10_000, wait_seconds=30)
    await ledger.start()
    await measure(ledger, load)
    await ledger.close()
    engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="an empty database; left out: SQLite in a temporary folder")
    parser.add_argument("--concurrency", type=int, action="append", help="may be given several times")
    parser.add_argument("--keys", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    for concurrency in options.concurrency or (1, 32, 256):
        with tempfile.TemporaryDirectory() as folder:
            url = options.url or f"sqlite:///{Path(folder) / 'bench.db'}"
            uvloop.run(run(url, Load(concurrency, options.keys, options.seconds)))


if __name__ == "__main__":
    main()
