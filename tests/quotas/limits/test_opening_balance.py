"""A counter made of what was added up beforehand is what the ledger would have made, or is left to the ledger."""

import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine, func, insert, select, update

from app.database.engine import reading, writing
from app.database.schema import ledger_tables, limit_tables
from app.quotas.limits.manage import set_limit
from app.quotas.limits.opening_balance import Past, add_up_past, make_counter
from app.quotas.rules.limits import Limit
from tests.quotas.making import (
    NOON,
    StillClock,
    a_change,
    a_hold,
    a_row,
    add_rows,
    errors,
    on_gateway,
    on_key,
    on_team,
    on_user,
    prune_all,
    rows,
    running_ledger,
    set_limits,
    settled,
)

LIMITS = [
    on_gateway("usd:1000000/total"),
    on_gateway("concurrent:1000@openai/other"),
    on_team("images:1000000/total"),
    on_user("tokens:1000000000/total@openai/gpt-image-2"),
    on_key("requests:100000/total"),
]
MIDNIGHT = NOON.replace(hour=0, minute=0, second=0)
FIRST = MIDNIGHT - timedelta(days=70)
CUTOFF = MIDNIGHT - timedelta(days=35)


def past_of(engine: Engine, limit: Limit) -> Past | None:
    with reading(engine) as connection:
        return add_up_past(connection, limit, NOON)


def made(engine: Engine, limit: Limit, past: Past | None) -> bool:
    assert past is not None
    with writing(engine) as connection:
        set_limit(connection, limit, change=a_change())
        return make_counter(connection, past)


def counters(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(limit_tables.counters)).scalar_one()


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: f"{limit.scope} {limit.unit}")
async def test_it_is_what_the_ledger_would_have_made(engine: Engine, limit: Limit) -> None:
    """Whatever happens in between: settlements of old ones, new requests, a prune."""
    add_rows(engine, 300, FIRST, NOON - timedelta(hours=1))
    prune_all(engine, CUTOFF - timedelta(days=20))
    past = past_of(engine, limit)
    pending = [id_ for id_, row in rows(engine).items() if row["state"] == "pending"]
    async with running_ledger(engine, StillClock()) as ledger:
        for id_ in pending[::3]:
            await ledger.resolve(id_, settled())
        for number in range(5):
            await ledger.reserve(a_hold(f"new-{number}", key_id=f"key-{number % 2}"))
        await ledger.resolve("new-1", settled())
        left = [id_ for id_, row in rows(engine).items() if row["state"] == "pending"]
        assert left
        assert made(engine, limit, past)
        assert errors(engine) == []
        await ledger.reserve(a_hold("after"))
    assert counters(engine) == 1
    assert errors(engine) == []


def test_a_prune_in_between_changes_nothing(engine: Engine) -> None:
    add_rows(engine, 300, FIRST, NOON)
    limit = on_gateway("images:1000000/total")
    past = past_of(engine, limit)
    assert prune_all(engine, CUTOFF) > 50
    assert made(engine, limit, past)
    assert errors(engine) == []


@pytest.mark.parametrize("scope", [on_gateway, on_team, on_user, on_key])
def test_one_made_in_the_past_leaves_it_to_the_ledger(engine: Engine, scope: Callable[[str], Limit]) -> None:
    """By a clock that stepped back, while the past was added up."""
    add_rows(engine, 50, FIRST, NOON)
    limit = scope("images:1000000/total")
    past = past_of(engine, limit)
    with writing(engine) as connection:
        late = a_row(1000, FIRST, random.Random(2))
        mine = {"key_id": "key-1", "user_id": "user-1", "team_id": "team-1"}
        connection.execute(insert(ledger_tables.reservations), [late | mine])
    assert not made(engine, limit, past)
    assert counters(engine) == 0
    assert errors(engine) == []


def test_one_that_was_pending_and_is_pruned_leaves_it_to_the_ledger(engine: Engine) -> None:
    add_rows(engine, 100, FIRST, FIRST + timedelta(days=3))
    limit = on_gateway("images:1000000/total")
    past = past_of(engine, limit)
    assert past is not None
    assert past.pending
    with writing(engine) as connection:
        gone = ledger_tables.reservations.c.id.in_(past.pending)
        zero = dict.fromkeys((f"charged_{unit}" for unit in ("requests", "images", "tokens", "nanousd")), 0)
        ended = {"state": "released", "resolved_at_ms": 1, "outcome": "x", "usage_source": "none", **zero}
        connection.execute(update(ledger_tables.reservations).where(gone).values(**ended))
    prune_all(engine, CUTOFF)
    assert not made(engine, limit, past)


def test_a_counter_that_is_there_stays(engine: Engine) -> None:
    add_rows(engine, 50, FIRST, NOON)
    limit = on_gateway("images:1000000/total")
    first, second = past_of(engine, limit), past_of(engine, limit)
    assert made(engine, limit, first)
    assert not made(engine, limit, second)
    assert past_of(engine, limit) is None
    assert errors(engine) == []


@pytest.mark.parametrize("limit", [on_gateway("images:1/month"), on_key("requests:5/minute")])
def test_windows_that_end_are_the_ledgers(engine: Engine, limit: Limit) -> None:
    assert past_of(engine, limit) is None


def test_without_a_past_it_is_a_counter_of_nothing(engine: Engine) -> None:
    limit = on_gateway("images:5/total")
    assert made(engine, limit, past_of(engine, limit))
    set_limits(engine, limit)
    assert errors(engine) == []
