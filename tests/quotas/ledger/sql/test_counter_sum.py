"""The two ways in which a counter is summed up: the ledger's own and the audit's agree, and with Python."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select

from app.database.clock import to_ms
from app.database.engine import reading
from app.database.schema import ledger_tables
from app.quotas.ledger.sql.counter_sum import PART_OF_A_DAY, counter_sum
from app.quotas.ledger.store import Store
from app.quotas.reports.audit import sum_reservations
from app.quotas.rules.counters import Counter, CounterKey
from app.quotas.rules.limits import Scope, Window
from app.quotas.rules.windows import span_ms
from tests.quotas.making import MODEL, NOON, add_rows, prune_all

MIDNIGHT = NOON.replace(hour=0, minute=0, second=0)
FIRST = MIDNIGHT - timedelta(days=70)
CUTOFF = MIDNIGHT - timedelta(days=35)
SCOPES = [(Scope.GATEWAY, ""), (Scope.TEAM, "team-1"), (Scope.USER, "user-1"), (Scope.KEY, "key-2"), (Scope.KEY, "no")]


def keys() -> Iterator[CounterKey]:
    """Every scope, with and without a model, in the windows of a pruned day, of the day at the edge, and of today."""
    for scope, scope_id in SCOPES:
        for model in ("", MODEL):
            for window in Window:
                for at in (FIRST + timedelta(days=9), CUTOFF, NOON):
                    if window is not Window.NOW:
                        start, _ = span_ms(window, to_ms(at))
                        yield CounterKey(scope.value, scope_id, model, window.value, start)


def by_hand(rows: list[dict[str, Any]], key: CounterKey) -> Counter:
    counter = Counter()
    start, end = span_ms(Window(key.window), key.window_start_ms)
    for row in rows:
        if not start <= row["reserved_at_ms"] < end or (key.model and row["model"] != key.model):
            continue
        if key.scope != Scope.GATEWAY and row[f"{key.scope}_id"] != key.scope_id:
            continue
        counter.pending_requests += row["state"] == "pending"
        for unit in ("images", "tokens", "nanousd"):
            if row["state"] == "pending":
                setattr(counter, f"pending_{unit}", getattr(counter, f"pending_{unit}") + row[f"held_{unit}"])
            else:
                setattr(counter, f"settled_{unit}", getattr(counter, f"settled_{unit}") + row[f"charged_{unit}"])
        counter.settled_requests += row["charged_requests"] or 0
    return counter


def test_a_counter_is_the_same_by_both_sums_and_before_and_after_a_prune(engine: Engine) -> None:
    add_rows(engine, 400, FIRST, NOON)
    with reading(engine) as connection:
        everything = [dict(row._mapping) for row in connection.execute(select(ledger_tables.reservations))]
    wanted = {key: by_hand(everything, key) for key in keys()}
    assert len({str(counter) for counter in wanted.values()}) > 30
    for is_pruned in (False, True):
        if is_pruned:
            assert prune_all(engine, CUTOFF) > 100
            edge = to_ms(CUTOFF)
            wanted = {
                key: counter
                for key, counter in wanted.items()
                if key.window not in PART_OF_A_DAY or key.window_start_ms >= edge
            }
        with reading(engine) as connection:
            assert {key: sum_reservations(connection, key) for key in wanted} == wanted
        pooled = engine.raw_connection()
        store = Store(pooled.driver_connection, engine.dialect.name)
        store.begin()
        assert store.read_counters(sorted(wanted)) == wanted
        pooled.rollback()
        pooled.close()


@pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True)
def test_sums_are_found_by_an_index(engine: Engine) -> None:
    """Those of one owner, or of one window: never by reading every record."""
    with engine.connect() as connection:
        for key in keys():
            if key.scope == Scope.GATEWAY and key.window == Window.TOTAL:
                continue
            text, values = counter_sum(key)
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", tuple(values))]
            assert not [
                step for step in plan if step.startswith(("SCAN reservations", "SCAN usage_days", "SCAN usage_hours"))
            ], (key, plan)
