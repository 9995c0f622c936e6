"""A forecast is what the ledger would answer, on both engines, and takes nothing."""

import asyncio
import random

import pytest
from sqlalchemy import Engine

from app.errors import LimitReached
from app.quotas.reports.forecast import Forecast, read_forecast
from app.quotas.rules.limits import Limit, format_limit
from app.quotas.rules.reservation import Amounts
from tests.quotas.making import (
    MODEL,
    NOON,
    PARTY,
    StillClock,
    a_hold,
    counters,
    on_gateway,
    on_key,
    on_team,
    on_user,
    rows,
    running_ledger,
    set_limits,
    settled,
)

AMOUNTS = Amounts(1, 1, 1000, 100_000_000)  # what `a_hold` takes


def foresee(engine: Engine, amounts: Amounts = AMOUNTS) -> Forecast:
    return read_forecast(engine, PARTY, amounts, NOON)


@pytest.mark.parametrize(
    ("limit", "taken", "fits"),
    [
        ("images:2/day", 1, True),
        ("images:2/day", 2, False),
        ("requests:1/minute", 0, True),
        ("requests:1/minute", 1, False),
        ("tokens:2000/total", 1, True),
        ("tokens:1999/total", 1, False),
        ("usd:0.20/month", 1, True),
        ("usd:0.199999999/month", 1, False),
        ("concurrent:2", 1, True),
        ("concurrent:2", 2, False),
        (f"images:1/day@{MODEL}", 1, False),
        ("images:1/day@openai/other", 5, True),
    ],
)
async def test_a_limit_at_its_edge(engine: Engine, limit: str, taken: int, fits: bool) -> None:
    set_limits(engine, on_key(limit))
    async with running_ledger(engine) as ledger:
        for number in range(taken):
            await ledger.reserve(a_hold(f"r{number}"))
        before = counters(engine)
        found = await asyncio.to_thread(foresee, engine)
        assert (found.refusal is None) is fits
        applies = not limit.endswith("other")
        assert [each.fits for each in found.limits] == ([fits] if applies else [])
        assert counters(engine) == before, "nothing is held"
        assert len(rows(engine)) == taken
        if fits:
            await ledger.reserve(a_hold("last"))
        else:
            with pytest.raises(LimitReached) as refused:
                await ledger.reserve(a_hold("last"))
            assert found.refusal is not None
            assert refused.value.message == found.refusal.error().message


async def test_every_scope_is_compared_and_the_gateways_limits_are_last(engine: Engine) -> None:
    mine = [on_key("images:9/day"), on_user("usd:1/day"), on_team("requests:7/hour"), on_gateway("tokens:5000/total")]
    set_limits(engine, *reversed(mine), on_key("images:0/day", "key-2"), on_key("images:1/week", shadow=True))
    async with running_ledger(engine) as ledger:
        lease = await ledger.reserve(a_hold("settled"))
        await lease.settle(settled())
        await ledger.reserve(a_hold("pending"))
        found = await asyncio.to_thread(foresee, engine)
    shown = {each.status.written: (each.status.used, each.status.pending, each.needed) for each in found.limits}
    assert shown == {
        "images:9/day": (2, 1, 1),
        "images:1/week": (2, 1, 1),
        "usd:1.00/day": (180_000_000, 100_000_000, 100_000_000),
        "requests:7/hour": (2, 1, 1),
        "tokens:5000/total": (1800, 1000, 1000),
    }
    assert [each.status.scope.value for each in found.limits] == ["key", "key", "user", "team", "gateway"]
    assert found.refusal is None, "a shadow limit refuses nothing"
    assert [each.status.written for each in found.limits if not each.fits] == ["images:1/week"]


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_the_limits_and_the_use_it_says_what_the_ledger_says(engine: Engine, seed: int) -> None:
    chance = random.Random(seed)
    units = {"requests": (1, 6), "images": (1, 12), "tokens": (500, 6000), "usd": (1, 9)}
    makers = (on_key, on_user, on_team, on_gateway)

    def drawn() -> Limit:
        unit = chance.choice([*units, "concurrent"])
        if unit == "concurrent":
            return chance.choice(makers)(f"concurrent:{chance.randint(1, 5)}")
        amount = chance.randint(*units[unit])
        written = f"0.{amount}" if unit == "usd" else str(amount)
        window = chance.choice(["minute", "hour", "day", "week", "month", "total"])
        model = chance.choice(["", f"@{MODEL}", "@openai/other"])
        return chance.choice(makers)(f"{unit}:{written}/{window}{model}")

    set_limits(engine, *{format_limit(limit): limit for limit in (drawn() for _ in range(4))}.values())
    clock = StillClock()
    async with running_ledger(engine, clock) as ledger:
        for number in range(8):
            amounts = Amounts(1, chance.randint(1, 3), chance.randint(1, 1500), chance.randint(1, 3) * 10**8)
            found = await asyncio.to_thread(read_forecast, engine, PARTY, amounts, clock())
            hold = a_hold(f"r{number}", at=clock(), images=amounts.images, tokens=amounts.tokens,
                          nanousd=amounts.nanousd)  # fmt: skip
            if found.refusal is None:
                lease = await ledger.reserve(hold)
                if chance.random() < 0.5:
                    await lease.settle(settled(clock()))
            else:
                with pytest.raises(LimitReached) as refused:
                    await ledger.reserve(hold)
                assert found.refusal.error().message == refused.value.message
            clock.forward(seconds=chance.choice([0, 40, 4000]))
