"""What the past costs: reports, reservations, a start and a prune, with few and with many records and keys. By hand:

    python -m bench.growth                                      SQLite in a temporary folder
    python -m bench.growth postgresql://user@host/postgres      databases of its own are made on that server
    python -m bench.growth --records 0 --records 1000000 --keys 10 --keys 100000 --json

Past records are spread over 400 days and over the keys; every key has a limit of its own, the team has one. A report is
measured in a process of its own: its time, and how much memory it needed beyond an interpreter that has loaded the
same code. A reservation's time is that of one caller who waits for its commit, the keys in turn.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, insert, make_url, text

from app.database.changes import Change
from app.database.clock import to_ms
from app.database.engine import create_engine, reading, writing
from app.database.migrate import upgrade
from app.database.schema import total_tables
from app.quotas.ledger.ledger import Ledger
from app.quotas.limits.manage import set_limit
from app.quotas.reports.overview import read_overview
from app.quotas.reports.records import days_of_hours, hours_of_records
from app.quotas.reports.retention import prune
from app.quotas.reports.usage import Grouping, usage_report
from app.quotas.rules.limits import Scope, parse_limit
from bench.ledger import hold, settlement

DAYS = 400
CHUNK = 500_000
PRUNE_SECONDS_MAX = 10
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
FIRST_MS = to_ms(NOW - timedelta(days=DAYS))

# Ids in no order, as real ones are; the keys in turn; three models; one record in a hundred was never billed, one in
# 50,000 ended in a way of its own.
FILL = """
INSERT INTO reservations (
  id, key_id, user_id, team_id, instance, operation, model, size, quality, streamed, state, reserved_at_ms,
  dispatched_at_ms, expires_at_ms, held_images, held_tokens, held_nanousd, resolved_at_ms, outcome, usage_source,
  priced, charged_requests, charged_images, charged_tokens, charged_nanousd, input_text_tokens, input_image_tokens,
  output_text_tokens, output_image_tokens, client_left, upstream_status, upstream_request_id, first_byte_ms,
  duration_ms)
WITH RECURSIVE numbers (n) AS (SELECT CAST({first} AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {end}),
  made AS (SELECT n, {first_ms} + CAST(n * {step_us} / 1000 AS BIGINT) AS at, n % 100 = 0 AS free FROM numbers)
SELECT 'req_' || (n * 2654435761 % 4294967296) || '_' || n, 'key-' || (n * 7919 % {keys}),
  'user-' || (n * 7919 % {keys} % 1000), CASE WHEN n % 10 = 0 THEN NULL ELSE 'team-' || (n * 7919 % {keys} % 20) END,
  'bench', 'generation', 'openai/gpt-image-' || (n % 3), '1024x1024', 'high', FALSE,
  CASE WHEN free THEN 'released' ELSE 'settled' END, at, at, at + 1200000, 1, 4160, 130000000, at + 30000,
  CASE WHEN n % 50000 = 7 THEN 'rare' ELSE 'completed' END,
  CASE WHEN free THEN 'none' ELSE 'reported' END, TRUE, CASE WHEN free THEN 0 ELSE 1 END,
  CASE WHEN free THEN 0 ELSE 1 END, CASE WHEN free THEN 0 ELSE 4100 END,
  CASE WHEN free THEN 0 ELSE 120000000 + n % 1000 END, 50, 0, 0, 4050, FALSE, 200, 'gen_' || n, 1200, 30000
FROM made
"""

LIMITS = """
INSERT INTO limits (scope, scope_id, unit, "window", model, amount, shadow, created_at_ms)
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {keys})
SELECT 'key', 'key-' || n, 'images', 'day', '', 1000000, FALSE, 0 FROM numbers
"""


@dataclass(frozen=True)
class Load:
    """A past of so many records, of so many keys."""

    records: int
    keys: int


def fill(engine: Engine, load: Load) -> None:
    """Limits and a past, as quickly as the database takes them."""
    step_us = DAYS * 86_400_000_000 // max(load.records, 1)
    for first in range(0, load.records, CHUNK):
        end = min(first + CHUNK, load.records)
        with writing(engine) as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(
                text(FILL.format(first=first, end=end, first_ms=FIRST_MS, step_us=step_us, keys=load.keys))
            )
    fill_totals(engine)
    with writing(engine) as connection:
        connection.execute(text(LIMITS.format(keys=load.keys)))
        for written, scope, scope_id in (("usd:1000000000/month", Scope.TEAM, "team-1"),):
            set_limit(connection, parse_limit(written).on(scope, scope_id), change=change())
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))  # as autovacuum would have by then


def fill_totals(engine: Engine) -> None:
    """The totals that the ledger would have written with these records."""
    for table, made in ((total_tables.usage_hours, hours_of_records()), (total_tables.usage_days, days_of_hours())):
        with writing(engine) as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(insert(table).from_select([column.name for column in table.c], made))


def change() -> Change:
    return Change("bench", NOW, lambda: "x")


def report(url: str, by: str) -> None:
    """In a process of its own: prints how long a report took, what it needed in KiB, its lines, and its sum."""
    engine = create_engine(url)
    with reading(engine) as connection:
        list(usage_report(connection, Grouping.DAY, until=NOW - timedelta(days=9999)))  # loads what has to be loaded
    before, began, lines, nanousd = peak_kib(), time.perf_counter(), 0, 0
    with reading(engine) as connection:
        for row in usage_report(connection, Grouping(by)):
            lines += 1
            nanousd += row.nanousd
    print(json.dumps([time.perf_counter() - began, peak_kib() - before, lines, nanousd]))  # noqa: T201


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure_reports(url: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for by in ("user", "key", "day"):
        process = [sys.executable, "-m", "bench.growth", url, "--report", by]
        took, kib, lines, _ = json.loads(subprocess.run(process, check=True, capture_output=True).stdout)  # noqa: S603
        found |= {f"report_{by}_s": took, f"report_{by}_mib": kib / 1024, f"report_{by}_lines": lines}
    return found


async def measure_start(engine: Engine) -> tuple[Ledger, dict[str, Any]]:
    """What a gateway does with the database at its start, at each sweep and at each scrape of its metrics."""
    began = time.perf_counter()
    upgrade(engine)
    ledger = Ledger(engine, lambda: NOW, instance="bench", queue_max=10_000, wait_seconds=120)
    await ledger.start()
    await ledger.expire_orphans(NOW)
    started = time.perf_counter()
    await ledger.expire(NOW)
    swept = time.perf_counter()
    read_overview(engine, NOW)
    scraped = time.perf_counter()
    return ledger, {
        "start_ms": (started - began) * 1e3,
        "sweep_ms": (swept - started) * 1e3,
        "scrape_ms": (scraped - swept) * 1e3,
    }


async def reserve(ledger: Ledger, numbers: Iterator[int], keys: int) -> float:
    """One request; returns how long its reservation took."""
    number = next(numbers)
    key = number * 7919 % keys
    taken = hold(number, key)._replace(
        user_id=f"user-{key % 1000}",
        team_id="team-1",
        reserved_at=NOW,
        expires_at=NOW + timedelta(minutes=20),
    )
    began = time.perf_counter()
    await ledger.reserve(taken)
    took = time.perf_counter() - began
    await ledger.resolve(taken.id, settlement()._replace(resolved_at=NOW))
    return took


def spread(name: str, waits: list[float]) -> dict[str, Any]:
    waits.sort()
    return {f"{name}_p50_ms": statistics.median(waits) * 1e3, f"{name}_p99_ms": waits[len(waits) * 99 // 100] * 1e3}


async def measure_reservations(ledger: Ledger, engine: Engine, load: Load, count: int) -> dict[str, Any]:
    numbers = iter(range(2**62))
    found = spread("reserve", [await reserve(ledger, numbers, load.keys) for _ in range(count)])
    limit = parse_limit("usd:1000000000/total").on(Scope.GATEWAY)
    with writing(engine) as connection:
        set_limit(connection, limit, change=change())
    found["first_total_ms"] = await reserve(ledger, numbers, load.keys) * 1e3
    return found | await measure_prune(ledger, engine, load, numbers)


async def measure_prune(ledger: Ledger, engine: Engine, load: Load, numbers: Iterator[int]) -> dict[str, Any]:
    """Half of the past, for some seconds at most, resting as the command does; reservations go on beside it. Before
    its first step, a prune counts what there is to do."""
    steps: list[tuple[float, int]] = []  # when each ended, and how many records it took
    began = time.perf_counter()

    def work() -> None:
        resumed = began
        cutoff = (NOW - timedelta(days=DAYS // 2)).replace(hour=0)
        for step in prune(engine, cutoff, change()):
            ended = time.perf_counter()
            steps.append((ended, step.records))
            if ended - steps[0][0] > PRUNE_SECONDS_MAX:
                return
            if len(steps) > 1:  # the first one is not measured, nor the rest after it
                time.sleep(ended - resumed)  # as the command does: a rest as long as the work
            resumed = time.perf_counter()

    pruning, waits = asyncio.ensure_future(asyncio.to_thread(work)), [0.0]
    while not pruning.done():
        waits.append(await reserve(ledger, numbers, load.keys))
    first, last = (steps[0][0], steps[-1][0]) if steps else (began, began)
    done = sum(records for _, records in steps[1:])
    found = {"prune_count_s": first - began, "prune_records_s": done / (last - first) if done else 0.0}
    return found | spread("reserve_beside_prune", waits)


async def measure(url: str, load: Load, count: int) -> dict[str, Any]:
    engine = create_engine(url)
    upgrade(engine)
    began = time.perf_counter()
    fill(engine, load)
    filled = time.perf_counter() - began
    ledger, start = await measure_start(engine)
    reports = measure_reports(url)
    reservations = await measure_reservations(ledger, engine, load, count)
    await ledger.close()
    engine.dispose()
    return {"records": load.records, "keys": load.keys, "fill_s": filled, **start, **reports, **reservations}


@contextmanager
def database(server: str | None) -> Iterator[str]:
    """A database of its own, gone afterwards."""
    if server is None:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{Path(folder) / 'bench.db'}"
        return
    name = f"bench_growth_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield make_url(server).set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def show(found: dict[str, Any]) -> None:
    """One line for each figure."""
    print(f"\n{found['records']:,} records, {found['keys']:,} keys")  # noqa: T201
    for name, value in list(found.items())[2:]:
        print(f"  {name:<28}{value:>14,.1f}" if isinstance(value, float) else f"  {name:<28}{value:>14,}")  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a PostgreSQL server; left out: SQLite")
    parser.add_argument("--records", type=int, action="append", help="may be given several times")
    parser.add_argument("--keys", type=int, action="append", help="may be given several times")
    parser.add_argument("--reservations", type=int, default=1000)
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of a table")
    parser.add_argument("--report", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.report:
        report(options.url, options.report)
        return
    for records in options.records or (0, 1_000_000):
        for keys in options.keys or (10, 1000, 100_000):
            with database(options.url) as url:
                found = asyncio.run(measure(url, Load(records, keys), options.reservations))
            if options.json:
                print(json.dumps(found), flush=True)  # noqa: T201
            else:
                show(found)


if __name__ == "__main__":
    main()
