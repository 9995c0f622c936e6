"""On PostgreSQL, two processes that want the same rows in opposite orders wait for each other, and never deadlock."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, text

from app.database.clock import to_ms
from app.database.engine import reading
from app.quotas.ledger.execute import Writes
from app.quotas.ledger.rows import Record, closing_of
from app.quotas.ledger.store import Store
from app.quotas.rules.counters import CounterKey
from app.quotas.rules.reservation import Amounts
from tests.quotas.making import NOON, PARTY, settled
from tests.servers import wait_until

# In one order as bytes, in another one for people.
_OWNERS = ["B", "_", "a", "é", *(f"key-{number}" for number in range(30)), "z"]
_MIDDLE = "key-7"

Take = Callable[[Store, Sequence[str]], object]
"""Locks what belongs to these owners."""


def take_counters(store: Store, owners: Sequence[str]) -> None:
    store.read_counters([CounterKey("key", owner, "", "total", 0) for owner in owners])


def take_totals(store: Store, owners: Sequence[str]) -> None:
    writes, closing = Writes(), closing_of(settled())
    for owner in owners:
        record = Record("r1", PARTY._replace(key_id=owner), "pending", to_ms(NOON), None, Amounts(1))
        writes.totals.add_closing(record, closing)
    store.write(writes, {})


@contextmanager
def taken(engine: Engine, take: Take, owners: Sequence[str]) -> Iterator[Store]:
    """Over a connection of its own, in a transaction that stays open for the length of the block."""
    pooled = engine.raw_connection()
    try:
        store = Store(pooled.driver_connection, "postgresql")
        store.begin()
        take(store, owners)
        yield store
    finally:
        pooled.close()


def take_and_commit(engine: Engine, take: Take, owners: Sequence[str]) -> None:
    with taken(engine, take, owners) as store:
        store.commit()


def waiting(engine: Engine) -> int:
    """How many connections wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with reading(engine) as connection:
        return int(connection.execute(text(query)).scalar_one())


@pytest.mark.parametrize("store_kind", ["postgresql"], indirect=True)
@pytest.mark.parametrize("are_there", [True, False], ids=["there", "new"])
@pytest.mark.parametrize("take", [take_counters, take_totals])
def test_opposite_orders_do_not_deadlock(engine: Engine, take: Take, are_there: bool) -> None:
    """A third connection holds a row in the middle until each of the two waits: for that row, or for the other one. If
    each had taken its own end first, PostgreSQL would end one of them.
    """
    if are_there:
        take_and_commit(engine, take, _OWNERS)
    with ThreadPoolExecutor(2) as pool:
        with taken(engine, take, [_MIDDLE]):
            orders = (_OWNERS, _OWNERS[::-1])
            both = [pool.submit(take_and_commit, engine, take, owners) for owners in orders]
            wait_until(lambda: waiting(engine) == 2, "both wait")
        for each in both:
            each.result()
