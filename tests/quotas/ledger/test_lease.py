"""What an exchange holds of the ledger: dispatched once, settled once; what goes wrong is logged and never raised."""

import asyncio
import logging
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from app.database.clock import to_ms
from app.errors import QuotaExceeded, StoreUnavailable
from app.quotas.ledger.commands import Reserved
from app.quotas.ledger.lease import Lease
from app.quotas.rules.limits import Scope, parse_limit
from app.quotas.rules.reservation import Resolution, Settlement
from tests.quotas.making import NOON, a_hold, errors, released, rows, running_ledger, set_limits, settled, sweep


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.getMessage(), record.__dict__["request_id"]) for record in caplog.records]


async def test_a_lease_is_settled_once(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """The second time is a no-op with a name, and a bug that the log says."""
    async with running_ledger(engine) as ledger:
        lease = await ledger.reserve(a_hold(images=3))
        await lease.dispatched(NOON)
        assert await lease.settle(settled(images=2)) is Resolution.DONE
        assert await lease.settle(released()) is Resolution.ALREADY_RESOLVED
        await asyncio.sleep(0)
    [row] = rows(engine).values()
    assert (row["state"], row["charged_images"]) == ("settled", 2)
    assert logged(caplog) == [("reservation_resolved_twice", "r1")]


@pytest.mark.parametrize("with_the_hold", [True, False])
async def test_dispatched_with_its_hold_needs_no_second_transaction(engine: Engine, with_the_hold: bool) -> None:
    async with running_ledger(engine) as ledger:
        lease = await ledger.reserve(a_hold(is_dispatched=with_the_hold))
        marks = list[str]()

        async def mark_dispatched(reservation_id: str, now: datetime) -> None:
            marks.append(reservation_id)

        ledger.mark_dispatched = mark_dispatched  # type: ignore[method-assign]  # counts the transactions
        await lease.dispatched(NOON)
        assert marks == ([] if with_the_hold else ["r1"])
        await lease.settle(released())


async def test_what_comes_after_the_sweep_is_a_correction(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    async with running_ledger(engine) as ledger:
        lease = await ledger.reserve(a_hold(images=3, is_dispatched=True))
        assert await sweep(engine, NOON + timedelta(days=99)) == ["r1"]
        assert await lease.settle(settled(images=2)) is Resolution.CORRECTED
        await asyncio.sleep(0)
    assert ("settlement_corrected", "r1") in logged_of_leases(caplog)


def logged_of_leases(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [
        (record.getMessage(), record.__dict__["request_id"])
        for record in caplog.records
        if record.name == "app.quotas.ledger.lease"
    ]


class Broken:
    """A ledger that cannot take a settlement."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def mark_dispatched(self, reservation_id: str, now: datetime) -> None:  # noqa: ARG002 - a stand-in
        raise self._error

    async def move(self, reservation_id: str, account: str, now: datetime, *, is_dispatched: bool) -> None:  # noqa: ARG002
        raise self._error

    def resolve(self, reservation_id: str, settlement: Settlement) -> asyncio.Future[Resolution]:  # noqa: ARG002
        raise self._error


@pytest.mark.parametrize("error", [ValueError("a bug"), StoreUnavailable("closed")])
async def test_settling_never_raises(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    lease = Lease(Broken(error), a_hold(), Reserved(None))
    with caplog.at_level(logging.ERROR):
        settling = lease.settle(settled())
        await asyncio.wait({settling})
        await asyncio.sleep(0)
    assert settling.exception() is error
    assert logged(caplog) == [("settlement_not_written", "r1")]
    with pytest.raises(type(error)):
        await lease.dispatched(NOON)


async def test_a_reservation_that_moves_is_marked_anew_and_counts_for_its_new_account(engine: Engine) -> None:
    for account in ("main", "spare"):
        set_limits(engine, parse_limit("images:3/day").on(Scope.ACCOUNT, account))
    async with running_ledger(engine) as ledger:
        lease = await ledger.reserve(a_hold(images=2, is_dispatched=True))
        await lease.move("spare", NOON, is_dispatched=False)
        [row] = rows(engine).values()
        assert (row["account"], row["dispatched_at_ms"]) == ("spare", None)
        await ledger.reserve(a_hold("r2", images=3))  # `main` has all its room again
        with pytest.raises(QuotaExceeded, match="ZenMux account"):
            await ledger.reserve(a_hold("r3", images=2)._replace(account="spare"))
        await lease.dispatched(NOON)
        assert rows(engine)["r1"]["dispatched_at_ms"] == to_ms(NOON)
        await lease.move("spare", NOON, is_dispatched=False)  # it is there: nothing changes
        assert rows(engine)["r1"]["dispatched_at_ms"] == to_ms(NOON)
        await lease.settle(settled(images=2))
    assert errors(engine) == []


async def test_a_move_that_does_not_fit_changes_nothing(engine: Engine) -> None:
    set_limits(engine, parse_limit("images:1/day").on(Scope.ACCOUNT, "spare"))
    set_limits(engine, parse_limit("images:2/day").on(Scope.KEY, "key-1"))
    async with running_ledger(engine) as ledger:
        lease = await ledger.reserve(a_hold(images=2, is_dispatched=True))
        before = rows(engine)
        with pytest.raises(QuotaExceeded):
            await lease.move("spare", NOON, is_dispatched=False)
        assert rows(engine) == before
        await lease.move("other", NOON, is_dispatched=True)  # the key's own limit is full, and holds it already
        await lease.settle(released())
        with pytest.raises(StoreUnavailable, match="has ended"):
            await lease.move("main", NOON, is_dispatched=False)
    assert errors(engine) == []


async def test_what_died_between_a_move_and_its_sending_costs_nothing(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        lease = await ledger.reserve(a_hold(images=2, is_dispatched=True))
        await lease.move("spare", NOON, is_dispatched=False)
    assert await sweep(engine, NOON + timedelta(days=99)) == ["r1"]
    [row] = rows(engine).values()
    assert (row["state"], row["charged_images"], row["account"]) == ("expired", 0, "spare")
