"""What comes too late is counted once, wherever its reservation counts; everything that adds up agrees."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import DBAPIError

from app.database.engine import create_engine, reading, writing
from app.database.schema import ledger_tables
from app.quotas.reports.audit import compare_with_bill
from app.quotas.reports.limit_status import read_limit_status
from app.quotas.reports.reconcile_day import Tally, compare_day
from app.quotas.reports.usage import Grouping, usage_report
from app.quotas.rules.reservation import AMOUNT_MAX, Amounts, Corrected, Resolution, Settlement
from app.quotas.rules.thresholds import Watch
from tests.quotas.making import (
    MODEL,
    NOON,
    StillClock,
    a_hold,
    counters,
    errors,
    on_gateway,
    on_key,
    on_user,
    prune_all,
    refused,
    released,
    remove_limits,
    reports,
    running_ledger,
    set_limits,
    settled,
    sweep,
)

LATER = NOON + timedelta(hours=1)
HELD = Amounts(1, 2, 1000, 100_000_000)
LIMITS = (on_key("images:9/day"), on_user("requests:9/minute"), on_gateway("usd:1/total"), on_key("tokens:9000/hour"))


def corrections(engine: Engine) -> list[dict[str, Any]]:
    with reading(engine) as connection:
        return [dict(row) for row in connection.execute(select(ledger_tables.corrections)).mappings()]


async def expired(engine: Engine, *endings: Settlement, sent: bool = True) -> list[Resolution]:
    """A reservation that expired, and what its process said when it came back."""
    async with running_ledger(engine, StillClock()) as ledger:
        await ledger.reserve(a_hold(images=2, is_dispatched=sent))
        assert await sweep(engine, LATER) == ["r1"]
        return [await ledger.resolve("r1", ending) for ending in endings]


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize(
    "ending",
    [settled(LATER, images=3, nanousd=10**9), settled(LATER, images=0, nanousd=1), released(LATER), refused(LATER)],
    ids=["more", "less", "released", "refused"],
)
async def test_a_late_ending_counts_everywhere(engine: Engine, ending: Settlement, sent: bool) -> None:
    set_limits(engine, *LIMITS)
    assert await expired(engine, ending, ending, settled(LATER), sent=sent) == [
        Resolution.CORRECTED,
        Resolution.ALREADY_RESOLVED,
        Resolution.ALREADY_RESOLVED,
    ]
    (row,) = corrections(engine)
    assert row["outcome"] == ending.outcome
    before = HELD if sent else Amounts()
    assert Amounts(*(row[f"charged_{unit}"] for unit in Amounts._fields)) == tuple(
        now - then for now, then in zip(ending.charged, before, strict=True)
    )
    assert errors(engine) == []
    named = {f"settled_{unit}": value for unit, value in ending.charged._asdict().items() if value}
    assert all(found == named for found in counters(engine).values())
    remove_limits(engine, *LIMITS)  # and the same when the counters are made anew, and when there are only totals
    set_limits(engine, *LIMITS)
    async with running_ledger(engine, instance="two"):
        assert {each.limit.unit: each.used for each in read_limit_status(engine, "key-1", "user-1", None, NOON)} == {
            "images": ending.charged.images,
            "requests": ending.charged.requests,
            "usd": ending.charged.nanousd,
            "tokens": ending.charged.tokens,
        }
    with reading(engine) as connection:
        (line,) = usage_report(connection, Grouping.USER)
    assert (line.requests, line.requests - line.released) == (1, ending.charged.requests)
    assert (line.images, line.tokens, line.nanousd) == ending.charged[1:]
    assert (line.estimated, line.refused) == (0, int(ending.outcome == "upstream_refused"))
    said = reports(engine)
    assert prune_all(engine, NOON.replace(hour=0, minute=0, second=0) + timedelta(days=1)) == 1
    assert reports(engine) == said
    assert corrections(engine) == []


async def test_the_days_comparison_and_the_bill_know_it(engine: Engine) -> None:
    await expired(engine, settled(LATER, images=1, nanousd=80_000_000))
    with reading(engine) as connection:
        day = compare_day(connection, NOON.date(), [(MODEL, Tally(1, 80_000_000))], lambda name: name)
        assert day.models[MODEL].ledger == Tally(1, 80_000_000)
        assert day.models[MODEL].estimated == day.models[MODEL].expired == Tally()
        entry = {"request_id": "up-1", "model": MODEL, "n": 1, "input_tokens": 50, "output_tokens": 750}
        found = compare_with_bill(connection, {"generations": [entry | {"cost_usd": "0.08"}]})
    assert [finding.check for finding in found] == ["bill_total"]


async def test_a_limit_that_is_passed_is_told(engine: Engine) -> None:
    told: list[Corrected] = []
    set_limits(engine, on_key("images:2/day"), on_user("images:9/day"))
    async with running_ledger(engine, watch=Watch(corrected=told.extend)) as ledger:
        await ledger.reserve(a_hold(images=2, is_dispatched=True))
        await sweep(engine, LATER)
        await ledger.resolve("r1", settled(images=3, tokens=1000))
        await ledger.resolve("nobody", released())
    assert told == [Corrected("r1", Amounts(0, 1, 0, -20_000_000), (("key", "images"),))]


async def test_a_correction_is_never_edited(engine: Engine) -> None:
    await expired(engine, settled(LATER))
    with pytest.raises(DBAPIError, match="never edited"), writing(engine) as connection:
        connection.execute(update(ledger_tables.corrections).values(charged_images=7))


async def test_the_audit_finds_a_correction_of_what_did_not_expire(engine: Engine) -> None:
    await expired(engine, settled(LATER))
    with writing(engine) as connection:
        connection.execute(update(ledger_tables.reservations).values(state="settled"))
    assert "corrections" in {finding.check for finding in errors(engine)}


@pytest.mark.parametrize("amount", [AMOUNT_MAX + 1, 2**62, 2**63, 2**200])
@pytest.mark.parametrize("late", [True, False])
async def test_absurd_amounts_are_charged_the_estimate(make_store: Callable[[], str], amount: int, late: bool) -> None:
    engine = create_engine(make_store())
    set_limits(engine, *LIMITS)
    async with running_ledger(engine) as ledger:
        await ledger.reserve(a_hold(images=2, is_dispatched=True))
        if late:
            await sweep(engine, LATER)
        done = Resolution.CORRECTED if late else Resolution.DONE
        assert await ledger.resolve("r1", settled(tokens=amount)) is done
    assert errors(engine) == []
    with reading(engine) as connection:
        (line,) = usage_report(connection, Grouping.USER)
    assert (line.estimated, line.images, line.tokens, line.nanousd) == (1, *HELD[1:])
    engine.dispose()
