"""Attempts are kept in the ledger's own transactions, on both engines."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from app.errors import IdempotencyKeyTaken, QuotaExceeded
from app.quotas.ledger.attempts.rows import ForgetAttempt, PutAttempt, TakeAttempt
from app.quotas.rules.reservation import Resolution
from tests.quotas.ledger.attempts.making import NOON_MS, a_row, attempts, keyed
from tests.quotas.making import (
    NOON,
    StillClock,
    a_hold,
    on_key,
    refused,
    released,
    running_ledger,
    set_limits,
    settled,
    states,
)


async def test_an_idempotency_key_is_taken_with_the_hold_and_once(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        taken = await asyncio.gather(
            *(ledger.reserve(a_hold(f"r{number}"), keyed(f"r{number}")) for number in range(5)), return_exceptions=True
        )
        assert sum(isinstance(each, IdempotencyKeyTaken) for each in taken) == 4
        with pytest.raises(IdempotencyKeyTaken):
            await ledger.reserve(a_hold("later"), keyed("later"))
        await ledger.reserve(a_hold("other"), keyed("other", key_id="key-2"))
    assert len(states(engine)) == 2
    assert len(attempts(engine)) == 2


async def test_two_processes_take_one_key_once(engine: Engine) -> None:
    async with running_ledger(engine) as one, running_ledger(engine, instance="two") as two:
        taken = await asyncio.gather(
            *(
                ledger.reserve(a_hold(f"{name}{number}"), keyed(f"{name}{number}"))
                for number in range(5)
                for name, ledger in (("a", one), ("b", two))
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(each, IdempotencyKeyTaken) for each in taken) == 9
    assert len(states(engine)) == len(attempts(engine)) == 1


async def test_a_refused_reservation_takes_no_key(engine: Engine) -> None:
    set_limits(engine, on_key("images:1/day"))
    async with running_ledger(engine) as ledger:
        with pytest.raises(QuotaExceeded):
            await ledger.reserve(a_hold(images=2), keyed())
        assert attempts(engine) == {}
        await ledger.reserve(a_hold("r2"), keyed("r2"))


async def test_a_key_is_free_again_once_nothing_was_bought_under_it(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        await ledger.reserve(a_hold(), keyed())
        await ledger.resolve("r1", released())
        await ledger.reserve(a_hold("r2"), keyed("r2"))
        await ledger.resolve("r2", refused())
        await ledger.keep_attempt(ForgetAttempt("r2"))
        await ledger.reserve(a_hold("r3", is_dispatched=True), keyed("r3"))
        await ledger.resolve("r3", settled())
        with pytest.raises(IdempotencyKeyTaken):
            await ledger.reserve(a_hold("r4"), keyed("r4"))
    assert list(attempts(engine)) == ["r3"]


async def test_a_key_is_free_again_once_its_time_is_over(engine: Engine) -> None:
    clock = StillClock()
    async with running_ledger(engine, clock) as ledger:
        await ledger.reserve(a_hold(), keyed())
        later = a_hold("r2", at=NOON + timedelta(minutes=2))
        with pytest.raises(IdempotencyKeyTaken):  # it may still run
            await ledger.reserve(later, keyed("r2"))
        await ledger.keep_attempt(PutAttempt(keyed(state="kept", file_id="f1")))
        with pytest.raises(IdempotencyKeyTaken):
            await ledger.reserve(a_hold("r3"), keyed("r3"))
        await ledger.reserve(later, keyed("r2"))


async def test_a_row_is_written_and_changed(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        undelivered = a_row(undelivered_at_ms=NOON_MS)
        assert await ledger.keep_attempt(PutAttempt(undelivered)) is Resolution.DONE
        assert attempts(engine)["r1"] == undelivered
        kept = undelivered._replace(state="kept", file_id="f1", undelivered_at_ms=NOON_MS + 5)
        await ledger.keep_attempt(PutAttempt(kept))
        assert attempts(engine)["r1"] == kept
        assert await ledger.keep_attempt(ForgetAttempt("r1")) is Resolution.DONE
        assert await ledger.keep_attempt(ForgetAttempt("r1")) is Resolution.UNKNOWN
        assert await ledger.keep_attempt(PutAttempt(keyed())) is Resolution.UNKNOWN
    assert attempts(engine) == {}


async def test_one_request_takes_an_attempt_over(engine: Engine) -> None:
    async with running_ledger(engine) as ledger, running_ledger(engine, instance="two") as other:
        row = a_row(undelivered_at_ms=NOON_MS, state="kept", file_id="f1")
        await ledger.keep_attempt(PutAttempt(row))
        taken = await asyncio.gather(*(each.keep_attempt(TakeAttempt(row)) for each in (ledger, other, ledger)))
        assert sorted(taken) == [Resolution.ALREADY_RESOLVED, Resolution.ALREADY_RESOLVED, Resolution.DONE]
        await ledger.keep_attempt(PutAttempt(row))
        assert await other.keep_attempt(TakeAttempt(row)) is Resolution.DONE


async def test_what_has_no_row_is_taken_over_once_as_well(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        left_by_the_dead = a_row(state="lost", undelivered_at_ms=NOON_MS)
        assert await ledger.keep_attempt(TakeAttempt(left_by_the_dead)) is Resolution.DONE
        assert await ledger.keep_attempt(TakeAttempt(left_by_the_dead)) is Resolution.ALREADY_RESOLVED
    assert attempts(engine)["r1"].undelivered_at_ms is None
