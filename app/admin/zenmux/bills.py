"""Use cases of the provider's bill: compare a day with what ZenMux billed; fetch the sandbox's bill for an audit."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from app.admin.access.permissions import Permission, permit
from app.admin.operator import Operator
from app.errors import NotFound, RemoteFailure
from app.images.catalog.catalog import Catalog
from app.quotas.reports.reconcile_day import DayComparison, ModelDay, Tally, Verdict, compare_day
from app.quotas.reports.reconciliations import keep
from app.quotas.rules.limits import format_usd
from app.settings.accounts import AccountSpec
from app.settings.settings import Settings

_BILL_BYTES_MAX = 100_000_000
_BILL_SECONDS_MAX = 30.0


def bills_to_compare(settings: Settings, name: str | None = None) -> list[AccountSpec | None]:
    """The accounts that have a bill of their own, or the one called `name`; None stands for one bill of all accounts.

    Raises NotFound for a name that no account has.
    """
    if name is None:
        return [spec for spec in settings.accounts if spec.management_key is not None] or [None]
    chosen: list[AccountSpec | None] = [spec for spec in settings.accounts if spec.name == name]
    if not chosen:
        known = ", ".join(spec.name for spec in settings.accounts)
        raise NotFound(f"There is no account {name}; there is: {known or 'none'}.")
    return chosen


@dataclass(frozen=True, slots=True)
class DayBill:
    """What ZenMux billed for a UTC day, by the names that it gives to models. `account` '': all accounts together."""

    day: date
    account: str
    billed: tuple[tuple[str, Tally], ...]


async def reconcile_day(
    operator: Operator, day: date, catalog: Catalog, settings: Settings, account: AccountSpec | None = None
) -> DayComparison:
    """Compares a UTC day with what ZenMux billed for it, per model, and keeps the result for the metrics: the part of
    one account, or (None) everything.

    Raises ConfigurationError without a management key, RemoteFailure if ZenMux does not give the costs.
    """
    return compare_bill(operator, await fetch_bill(settings, day, account), catalog)


def day_to_compare(text: str | None, now: datetime) -> date:
    """The UTC day that is written so; None: yesterday. Raises ValueError."""
    if text is None:
        return now.date() - timedelta(days=1)
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not a day; write 2026-11-24.") from None
    if day > now.date():
        raise ValueError(f"{day} is still to come.")
    return day


async def fetch_bill(settings: Settings, day: date, account: AccountSpec | None = None) -> DayBill:
    """Asks ZenMux; takes a minute at most. Raises ConfigurationError, RemoteFailure."""
    from app.upstream.lookups.costs import fetch_day_cost  # noqa: PLC0415 - the transport is slow to load

    costs = await fetch_day_cost(settings, day, account)
    billed = tuple((model, Tally(requests, nanousd)) for model, requests, nanousd in costs)
    return DayBill(day, account.name if account else "", billed)


def compare_bill(operator: Operator, bill: DayBill, catalog: Catalog) -> DayComparison:
    """The bill beside the ledger; the result is kept in place of an earlier one. Raises NotPermitted."""
    permit(operator.principal, Permission.OPERATE)
    with operator.reading() as connection:
        comparison = compare_day(connection, bill.day, bill.billed, _name_of(catalog), bill.account)
    with operator.writing() as connection:
        keep(connection, comparison, operator.now)
    return comparison


async def fetch_sandbox_bill(settings: Settings, url: str) -> dict[str, Any]:
    """The bill at `url`, bounded in size and time, through the operator's proxy. Raises RemoteFailure, and
    ConfigurationError for a proxy or a CA that cannot work.
    """
    import httpx2  # noqa: PLC0415 - few audits need it

    try:
        bill = json.loads(await _fetch(settings, url))
    except httpx2.HTTPStatusError as error:
        raise RemoteFailure(f"There is no bill at {url}: it answers {error.response.status_code}.") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        raise RemoteFailure(f"No bill could be read at {url}: {error or type(error).__name__}.") from None
    if not isinstance(bill, dict) or not isinstance(bill.get("generations"), list):
        raise RemoteFailure(f"What is at {url} is no bill: it has no list of generations.")
    return bill


async def _fetch(settings: Settings, url: str) -> bytes:
    import httpx2  # noqa: PLC0415 - as above

    from app.upstream.network import Network  # noqa: PLC0415 - as above

    body = bytearray()
    async with (
        asyncio.timeout(_BILL_SECONDS_MAX),
        Network(settings).client(httpx2.URL(url), _BILL_SECONDS_MAX) as client,
        client.stream("GET", url) as answer,
    ):
        answer.raise_for_status()
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > _BILL_BYTES_MAX:
                raise RemoteFailure(f"The bill at {url} is over {_BILL_BYTES_MAX // 1_000_000} MB.")
    return bytes(body)


def days_json(comparisons: Sequence[DayComparison]) -> dict[str, Any]:
    """A compared day, for programs: of one bill, or of the bills of several accounts."""
    if len(comparisons) == 1:
        return day_json(comparisons[0])
    order = list(Verdict)
    return {
        "day": comparisons[0].day.isoformat(),
        "verdict": max((each.verdict for each in comparisons), key=order.index),
        "explained": all(each.explained for each in comparisons),
        "accounts": [day_json(each) for each in comparisons],
    }


def day_json(comparison: DayComparison) -> dict[str, Any]:
    """One bill's compared day, for programs. `account` is None for one bill of all accounts."""
    return {
        "account": comparison.account or None,
        "day": comparison.day.isoformat(),
        "verdict": comparison.verdict,
        "explained": comparison.explained,
        "models": [{"model": name, **_model_json(model)} for name, model in comparison.models.items()],
        "total": {**_model_json(comparison.total), "verdict": comparison.verdict},
        "elsewhere": [{"model": name, **_tally_json("billed", tally)} for name, tally in comparison.elsewhere.items()],
    }


def _model_json(model: ModelDay) -> dict[str, Any]:
    names = ("ledger", "billed", "drift", "estimated", "unpriced", "expired", "pending", "began_before", "ended_after")
    sums: dict[str, Any] = {}
    for name in names:
        sums |= _tally_json(name, getattr(model, name))
    return {**sums, "pruned": model.pruned, "verdict": model.verdict}


def _tally_json(name: str, tally: Tally) -> dict[str, Any]:
    return {
        f"{name}_requests": tally.requests,
        f"{name}_usd": format_usd(tally.nanousd),
        f"{name}_nanousd": tally.nanousd,
    }


def _name_of(catalog: Catalog) -> Callable[[str], str | None]:
    def name_of(name: str) -> str | None:
        """The listed model's full id; a pinned provider (`model:azure`) is billed as its model."""
        spec = catalog.find(name) or catalog.find(name.partition(":")[0])
        return None if spec is None else spec.id.partition(":")[0]

    return name_of
