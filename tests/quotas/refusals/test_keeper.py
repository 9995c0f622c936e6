"""The writing of counts: at turns and at the end; a failure keeps them."""

import asyncio

from sqlalchemy import Engine

from app.database.engine import create_engine, reading
from app.quotas.refusals.counts import RefusalCounts
from app.quotas.refusals.hours import refusal_report
from app.quotas.refusals.keeper import RefusalKeeper
from tests.quotas.making import NOON
from tests.servers import wait_until


def written(engine: Engine) -> int:
    with reading(engine) as connection:
        return sum(row.count for row in refusal_report(connection))


async def test_it_writes_at_turns_and_at_the_end(engine: Engine) -> None:
    counts = RefusalCounts()
    keeper = RefusalKeeper(engine, counts, flush_seconds=0.001)
    running = asyncio.create_task(keeper.run())  # noqa: TID251 - the test's own
    counts.count(NOON, "alice", "k", "x")
    await asyncio.to_thread(wait_until, lambda: written(engine) == 1, "the first count is written")
    await keeper.close(running)
    last = RefusalKeeper(engine, counts)
    counts.count(NOON, "alice", "k", "x")
    running = asyncio.create_task(last.run())  # noqa: TID251 - the test's own
    await last.close(running)
    assert written(engine) == 2


async def test_what_cannot_be_written_is_written_later(engine: Engine, empty_store_url: str) -> None:
    counts, without_tables = RefusalCounts(), create_engine(empty_store_url)
    counts.count(NOON, "alice", "k", "x")
    await RefusalKeeper(without_tables, counts).flush()
    without_tables.dispose()
    counts.count(NOON, "alice", "k", "x")
    await RefusalKeeper(engine, counts).flush()
    assert written(engine) == 2
    assert counts.take() == {}
