"""Accounts and bill: the ZenMux accounts, taken out and in; the ledger beside ZenMux's bill, by day."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from starlette.responses import Response

from app.admin.access.permissions import Permission
from app.admin.reads.others import list_reconciliations
from app.admin.zenmux.accounts import list_accounts, rest_account, resume_account
from app.admin.zenmux.bills import bills_to_compare, compare_bill, day_to_compare, fetch_bill
from app.console.web.csv_answer import csv_answer
from app.console.web.visit import Visit
from app.errors import AdministrationError, InvalidValue
from app.quotas.reports.reconcile_day import Verdict
from app.quotas.reports.reconciliations import WantedChecks

PATH = "/console/accounts"
_DAYS = 62
_ROWS_MAX = 50_000
_RESTS = {"": None, "1h": timedelta(hours=1), "4h": timedelta(hours=4), "24h": timedelta(days=1)}
_CSV = ("day", "account", "model", "ledger_requests", "ledger_usd", "billed_requests", "billed_usd", "drift_usd")


@dataclass(slots=True)
class BilledDay:
    """One compared bill: a UTC day of one account, or (None) of all together."""

    day: str
    account: str | None
    checked_at: str
    ledger_requests: int = 0
    ledger_nanousd: int = 0
    billed_requests: int = 0
    billed_nanousd: int = 0

    @property
    def drift_nanousd(self) -> int:
        """Above zero, the ledger charged more than was billed."""
        return self.ledger_nanousd - self.billed_nanousd


async def show_accounts(visit: Visit, error: str | None = None) -> Response:
    """The page, or a CSV file of the compared days by model."""
    settings = visit.services.settings
    since = visit.now - timedelta(days=_DAYS)
    wanted = WantedChecks(since)
    rows = (await visit.read(lambda operator: list_reconciliations(operator, wanted, None, _ROWS_MAX))).rows
    if visit.asked("format") == "csv":
        return csv_answer("bill", _CSV, ([row[name] for name in _CSV] for row in rows))
    return visit.page(
        "accounts.html",
        200 if error is None else 400,
        accounts=await visit.read(lambda operator: list_accounts(operator, settings.accounts)),
        days=billed_days(rows),
        has_bill=settings.zenmux_management_key is not None or any(each.management_key for each in settings.accounts),
        yesterday=(visit.now - timedelta(days=1)).date().isoformat(),
        today=visit.now.date().isoformat(),
        rests=_RESTS,
        error=error,
    )


async def change_account(visit: Visit) -> Response:
    """Takes an account out or in: whatever button was pressed."""
    form, name = await visit.form(), visit.request.path_params["name"]
    specs = visit.services.settings.accounts
    try:
        match form.get("do"):
            case "rest" if form.get("until") in _RESTS:
                lasts = _RESTS[form.get("until")]
                until = None if lasts is None else visit.now + lasts
                await visit.change(lambda operator: rest_account(operator, specs, name, until))
                return visit.to(PATH, "account-rested")
            case "resume":
                await visit.change(lambda operator: resume_account(operator, specs, name))
                return visit.to(PATH, "account-resumed")
        raise InvalidValue("The form does not say what to do.")
    except AdministrationError as error:
        return await show_accounts(visit, error.message)


async def reconcile_page(visit: Visit) -> Response:
    """Asks ZenMux what a day cost, and compares: each account that has a bill of its own, or all together."""
    written, services = (await visit.form()).get("day"), visit.services
    settings, catalog = services.settings, services.policy.catalog
    try:
        try:
            day = day_to_compare(written, visit.now)
        except ValueError as error:
            raise InvalidValue(str(error)) from None
        verdicts = []
        for account in bills_to_compare(settings):
            bill = await fetch_bill(settings, day, account)  # in ZenMux's time: no thread and no connection waits
            verdicts.append((await visit.change(partial(compare_bill, bill=bill, catalog=catalog))).verdict)
    except AdministrationError as error:
        return await show_accounts(visit, error.message)
    return visit.to(PATH, f"bill-{max(verdicts, key=list(Verdict).index)}")


def billed_days(rows: Iterable[dict[str, Any]]) -> list[BilledDay]:
    """The sums over all models of each bill, in the order of the rows."""
    found: dict[tuple[str, str | None], BilledDay] = {}
    for row in rows:
        place = row["day"], row["account"]
        day = found.setdefault(place, BilledDay(*place, row["checked_at"]))
        day.ledger_requests += row["ledger_requests"]
        day.ledger_nanousd += row["ledger_nanousd"]
        day.billed_requests += row["billed_requests"]
        day.billed_nanousd += row["billed_nanousd"]
    return list(found.values())


PAGES = (
    ("GET", PATH, show_accounts, Permission.READ_GATEWAY),
    ("POST", f"{PATH}/bill", reconcile_page, Permission.OPERATE),
    ("POST", f"{PATH}/{{name}}", change_account, Permission.OPERATE),
)
