"""What an exchange holds of the ledger: dispatched once, settled once; what goes wrong is logged and never raised."""

import asyncio
import logging
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from app.errors import StoreUnavailable
from app.quotas.ledger.commands import Reserved
from app.quotas.ledger.lease import Lease
from app.quotas.rules.reservation import Resolution, Settlement
from tests.quotas.making import NOON, a_hold, released, rows, running_ledger, settled, sweep


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
