"""The limits that are nearest to their amount, and what else one screen shows of the ledger, on both engines."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from app.database.engine import reading, writing
from app.quotas.limits.manage import set_limit
from app.quotas.reports.summaries.costs_by_size import SizeCost, costs_by_size
from app.quotas.reports.summaries.nearest_limits import nearest_limits
from app.quotas.reports.summaries.pending import Held, read_held
from app.quotas.reports.summaries.usage_of_user import UserDay, days_of_user
from app.quotas.reports.usage import Grouping, usage_report
from app.quotas.rules.limits import Scope, format_limit, parse_limit
from tests.identity.people_making import change_at
from tests.quotas.making import MODEL, NOON, StillClock, a_hold, running_ledger, settled

MIDNIGHT = NOON.replace(hour=0, minute=0, second=0)
LIMITS = (
    ("usd:1/day", Scope.USER, "user-1"),
    ("images:100/day", Scope.KEY, "key-1"),
    ("concurrent:2", Scope.KEY, "key-1"),
    ("images:4/hour", Scope.TEAM, "team-1"),
    ("images:1/day", Scope.USER, "user-2"),
    ("requests:0/day", Scope.DEFAULT, ""),
)


@pytest.fixture
async def used(engine: Engine) -> AsyncIterator[Engine]:
    """Two days of use by user-1; one request still runs, one of the day before is over."""
    with writing(engine) as connection:
        for written, scope, owner in LIMITS:
            set_limit(connection, parse_limit(written).on(scope, owner), change=change_at())
    clock = StillClock(NOON - timedelta(days=1))
    async with running_ledger(engine, clock) as ledger:
        await ledger.reserve(a_hold("r0", at=clock.now))
        await ledger.resolve("r0", settled(clock.now))
        clock.now = NOON
        await ledger.reserve(a_hold("r1", quality="low", images=2))
        await ledger.resolve("r1", settled(images=2, nanousd=600_000_000))
        await ledger.reserve(a_hold("r2", images=1))
        yield engine
        await ledger.resolve("r2", settled())


async def test_the_fullest_come_first_and_unused_ones_not_at_all(used: Engine) -> None:
    with reading(used) as connection:
        found = nearest_limits(connection, 10, NOON)
        assert [(format_limit(status.limit), round(status.used / status.limit.amount, 2)) for status in found] == [
            ("images:4/hour", 0.75),
            ("usd:1.00/day", 0.7),
            ("concurrent:2", 0.5),
            ("images:100/day", 0.03),
        ]
        assert nearest_limits(connection, 2, NOON) == found[:2]
        later = [format_limit(status.limit) for status in nearest_limits(connection, 10, NOON + timedelta(days=2))]
        assert later == ["concurrent:2"]


async def test_what_is_held(used: Engine) -> None:
    with reading(used) as connection:
        assert read_held(connection) == Held(1, 1, 100_000_000, NOON)


async def test_the_days_of_a_user_are_what_the_report_says(used: Engine) -> None:
    with reading(used) as connection:
        days = list(days_of_user(connection, "user-1", MIDNIGHT - timedelta(days=1)))
        assert days == [
            UserDay("2026-11-23", 1, 1, 800, 80_000_000),
            UserDay("2026-11-24", 1, 2, 800, 600_000_000),
        ]
        report = usage_report(connection, Grouping.DAY)
        assert [(row.id, row.images, row.nanousd) for row in report] == [
            (day.day, day.images, day.nanousd) for day in days
        ]
        assert list(days_of_user(connection, "user-2", MIDNIGHT)) == []


async def test_costs_of_sizes(used: Engine) -> None:
    with reading(used) as connection:
        assert costs_by_size(connection, MIDNIGHT - timedelta(days=1)) == [
            SizeCost(MODEL, "1024x1024", "low", 2, 600_000_000),
            SizeCost(MODEL, "1024x1024", "high", 1, 80_000_000),
        ]
        (today,) = costs_by_size(connection, MIDNIGHT)
        assert today.mean_nanousd == 300_000_000


async def test_an_empty_ledger(engine: Engine) -> None:
    with reading(engine) as connection:
        assert nearest_limits(connection, 5, NOON) == []
        assert read_held(connection) == Held(0, 0, 0, None)
        assert costs_by_size(connection, MIDNIGHT) == []
