"""Counts of refusals in real databases: added by several processes, summed, deleted by days."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import Engine, func, select

from app.database.engine import create_engine, reading
from app.database.schema.total_tables import refusal_hours
from app.quotas.refusals.counts import RefusalCounts, RefusalPlace
from app.quotas.refusals.hours import (
    RefusedRow,
    add_refusals,
    count_old_refusals,
    prune_refusals,
    refusal_report,
)
from tests.quotas.making import NOON


def some(*hours: int) -> dict[RefusalPlace, int]:
    counts = RefusalCounts()
    for hour in hours:
        for user in ("bob", "alice"):
            counts.count(NOON + timedelta(hours=hour), user, f"key-{user}", "insufficient_quota")
    counts.count(NOON, "", "", "invalid_api_key")
    return counts.take()


def report(engine: Engine, **edges: object) -> list[RefusedRow]:
    with reading(engine) as connection:
        return list(refusal_report(connection, **edges))  # type: ignore[arg-type]


def test_what_two_processes_add_at_the_same_time_is_summed(engine: Engine, store_url: str) -> None:
    other = create_engine(store_url)

    def add(each: Engine) -> None:
        for _ in range(20):
            add_refusals(each, some(0, 1))

    with ThreadPoolExecutor() as threads:
        list(threads.map(add, (engine, other)))
    other.dispose()
    assert report(engine) == [
        RefusedRow("alice", None, "key-alice", None, "insufficient_quota", 80),
        RefusedRow("bob", None, "key-bob", None, "insufficient_quota", 80),
        RefusedRow("", None, "", None, "invalid_api_key", 40),
    ]


def test_edges_are_whole_hours(engine: Engine) -> None:
    add_refusals(engine, some(0, 1, 2))
    until = NOON + timedelta(minutes=90)
    assert [row.count for row in report(engine, since=NOON + timedelta(minutes=30), until=until)] == [2, 2, 1]
    assert [row.count for row in report(engine, since=NOON + timedelta(minutes=60), until=until)] == [1, 1]


def test_old_ones_are_deleted_by_days_and_the_rest_stays(engine: Engine) -> None:
    add_refusals(engine, some(-100, -50, 0))
    cutoff = (NOON - timedelta(days=1)).replace(hour=0, minute=0, second=0)
    with reading(engine) as connection:
        assert count_old_refusals(connection, cutoff) == 4
    assert list(prune_refusals(engine, cutoff)) == [2, 2]
    assert list(prune_refusals(engine, cutoff)) == []
    with reading(engine) as connection:
        assert connection.execute(select(func.sum(refusal_hours.c.count))).scalar_one() == 3
