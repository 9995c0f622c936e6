"""The provider's bill: asked for only with what it takes, and never read without end."""

import asyncio
from datetime import date

import pytest

from app.admin.operator import Operator
from app.admin.zenmux.bills import day_json, fetch_sandbox_bill, reconcile_day
from app.errors import ConfigurationError, RemoteFailure
from app.images.catalog.catalog import load_catalog
from app.quotas.reports.reconcile_day import Tally, compare_day
from app.settings.settings import Settings

DAY = date(2026, 11, 23)


async def test_a_bill_that_is_not_there_is_somebody_elses_failure() -> None:
    with pytest.raises(RemoteFailure, match="No bill could be read"):
        await fetch_sandbox_bill(Settings(_env_file=None), "http://127.0.0.1:9/sandbox/bill")


def test_a_day_cannot_be_compared_without_a_management_key(operator: Operator) -> None:
    with pytest.raises(ConfigurationError, match="ZENMUX_MANAGEMENT_KEY"):
        asyncio.run(reconcile_day(operator, DAY, load_catalog(), Settings(_env_file=None)))


def test_a_compared_day_has_its_money_twice_and_exact(operator: Operator) -> None:
    with operator.reading() as connection:
        compared = compare_day(connection, DAY, [("openai/gpt-image-2", Tally(2, 41_200_000))], lambda name: name)
    shown = day_json(compared)
    assert (shown["day"], shown["verdict"], shown["explained"]) == ("2026-11-23", "drift", False)
    [model] = shown["models"]
    assert (model["billed_requests"], model["billed_usd"], model["billed_nanousd"]) == (2, "0.0412", 41_200_000)
    assert model["drift_nanousd"] == shown["total"]["drift_nanousd"] == -41_200_000
