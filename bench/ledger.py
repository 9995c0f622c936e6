"""How many reservations a second one process reserves and settles, and what a pair costs. By hand:

    python -m bench.ledger                                      SQLite in a temporary folder
    python -m bench.ledger postgresql://user@host/empty_database
    python -m bench.ledger --concurrency 256 --keys 1000

As in the gateway, whose interpreter this is set up as: a caller waits for its reservation, and makes the next one while
its settlement is written; it has one settlement on its way at most. Waits are those for reservations. CPU is this
process's own, all threads; a PostgreSQL server's is not in it.
"""

import argparse
import asyncio
import json
import resource
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop

from app.database.changes import Change
from app.database.engine import create_engine, writing
from app.database.migrate import upgrade
from app.quotas.ledger.ledger import Ledger
from app.quotas.limits.manage import set_limit
from app.quotas.rules.limits import Scope, parse_limit
from app.quotas.rules.reservation import Amounts, Hold, Resolution, Settlement, State, UsageSource
from app.server.serving import tune_interpreter
from bench.figures import percentile

_RESERVED_FOR = timedelta(minutes=20)


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
        expires_at=at + _RESERVED_FOR,
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


@dataclass(frozen=True)
class Pairs:
    """What one load came to: pairs of one reservation and one settlement, and the waits for reservations."""

    engine: str  # sqlite | postgresql
    concurrency: int
    keys: int
    pairs_per_second: float
    cpu_us_per_pair: float
    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return (
            f"{self.concurrency:4} at a time, {self.keys:5} keys: {self.pairs_per_second:8.0f} pairs/s, "
            f"{self.cpu_us_per_pair:6.1f} µs CPU a pair, p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms"
        )


async def measure(ledger: Ledger, load: Load, engine: str) -> Pairs:
    """Runs the load to its end. `engine` is the database's."""
    numbers = iter(range(2**62))
    waits: list[float] = []
    stop_at = time.perf_counter() + load.seconds

    async def caller() -> None:
        settling: asyncio.Future[Resolution] | None = None
        while (began := time.perf_counter()) < stop_at:
            number = next(numbers)
            taken = hold(number, number % load.keys)
            await ledger.reserve(taken)
            waits.append(time.perf_counter() - began)
            if settling is not None:
                await settling
            settling = ledger.resolve(taken.id, settlement())
        if settling is not None:
            await settling

    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(load.concurrency)))
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Pairs(
        engine=engine,
        concurrency=load.concurrency,
        keys=load.keys,
        pairs_per_second=len(waits) / took,
        cpu_us_per_pair=cpu / len(waits) * 1e6,
        p50_ms=percentile(waits, 0.50) * 1e3,
        p99_ms=percentile(waits, 0.99) * 1e3,
    )


async def run(url: str, load: Load) -> Pairs:
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
    pairs = await measure(ledger, load, engine.dialect.name)
    await ledger.close()
    engine.dispose()
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="an empty database; left out: SQLite in a temporary folder")
    parser.add_argument("--concurrency", type=int, action="append", help="may be given several times")
    parser.add_argument("--keys", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON array instead of lines")
    options = parser.parse_args()
    tune_interpreter()
    found = []
    for concurrency in options.concurrency or (1, 32, 256):
        with tempfile.TemporaryDirectory() as folder:
            url = options.url or f"sqlite:///{Path(folder) / 'bench.db'}"
            found.append(uvloop.run(run(url, Load(concurrency, options.keys, options.seconds))))
        if not options.json:
            print(found[-1])  # noqa: T201 - what a benchmark is for
    if options.json:
        print(json.dumps([asdict(pairs) for pairs in found]))  # noqa: T201


if __name__ == "__main__":
    main()
