"""`ledger reconcile`: asks ZenMux what a day cost, compares it with the ledger, keeps and shows the result."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer

from app.admin.zenmux.bills import bills_to_compare, day_to_compare, days_json, reconcile_day
from app.cli.terminal.options import Json
from app.cli.terminal.output import read, say, show_json, show_table
from app.cli.terminal.session import Session
from app.quotas.reports.reconcile_day import DayComparison, ModelDay, Tally, Verdict
from app.quotas.rules.limits import format_usd

_NUMBERS = ("requests", "billed requests", "charged", "billed", "drift", "estimated", "unpriced")
_MEANINGS = {
    Verdict.EQUAL: "The ledger is what ZenMux billed.",
    Verdict.ESTIMATED: "The drift can be all of it in charges that are marked as estimates, or have no price.",
    Verdict.TIMING: "The drift may be a question of when: see above, check the days beside it, or check again later.",
    Verdict.DRIFT: "There is drift that no estimate explains.",
}


def reconcile(
    context: typer.Context,
    day: Annotated[
        str | None, typer.Option(metavar="DAY", help="Such as 2026-11-24 (UTC). Without it: yesterday.")
    ] = None,
    account: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this account. Without it: each that has a bill of its own.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare a day (UTC) with what ZenMux billed for it, by model. Exit code 1 if estimates do not explain the drift.

    \b
    zenmux-gateway ledger reconcile
    zenmux-gateway ledger reconcile --day 2026-11-24 --json
    """
    session = Session(context)
    now = session.terminal.clock()
    chosen = read("--day", lambda: day_to_compare(day, now))
    catalog = session.catalog
    settings = session.settings_with_accounts
    bills = bills_to_compare(settings, account)
    # Without a ledger to compare this refuses, before ZenMux is asked.
    with session.existing() as operator:
        compared = [asyncio.run(reconcile_day(operator, chosen, catalog, settings, each)) for each in bills]
    if as_json:
        show_json(days_json(compared))
    else:
        for comparison in compared:
            _show(comparison, now)
        if account is None and None not in bills and len(bills) < len(settings.accounts):
            left = [spec.name for spec in settings.accounts if spec.management_key is None]
            say(f"Not compared, for they have no management key: {', '.join(left)}.")
    raise typer.Exit(0 if all(comparison.explained for comparison in compared) else 1)


def _show(comparison: DayComparison, now: datetime) -> None:
    if comparison.account:
        say(f"Account {comparison.account}:")
    if comparison.models:
        rows = [_row(name, model) for name, model in comparison.models.items()]
        if len(rows) > 1:
            rows.append([*_row("total", comparison.total)[:-1], comparison.verdict])
        show_table(["model", *_NUMBERS, "verdict"], rows, right=_NUMBERS)
    for line in _remarks(comparison, now):
        say(line)
    say(f"{comparison.day}: {_MEANINGS[comparison.verdict]}")


def _row(name: str, model: ModelDay) -> list[str]:
    return [
        name,
        f"{model.ledger.requests:,}",
        f"{model.billed.requests:,}",
        f"${format_usd(model.ledger.nanousd)}",
        f"${format_usd(model.billed.nanousd)}",
        f"{format_usd(model.drift.nanousd)}",
        _part(model, model.estimated),
        _part(model, model.unpriced),
        model.verdict,
    ]


def _part(model: ModelDay, part: Tally) -> str:
    """A share of the charges: the number of requests, and their cost if their rows still exist."""
    if not part.requests:
        return "-"
    return f"{part.requests:,}" if model.pruned else f"{part.requests:,} (${format_usd(part.nanousd)})"


def _remarks(comparison: DayComparison, now: datetime) -> Iterator[str]:
    total = comparison.total
    for what, tally in (
        ("Estimates of processes that died", total.expired),
        ("Made the day before and ended on this one, counted there", total.began_before),
        ("Made on this day and ended after it, counted here", total.ended_after),
        ("Still open, in no sum, held", total.pending),
    ):
        if tally.requests:
            yield f"{what}: {tally.requests:,} (${format_usd(tally.nanousd)})."
    if total.pruned:
        yield "The day is pruned: of estimates and unpriced requests only the numbers are left."
    if comparison.day == now.date():
        yield "The day is not over."
    if comparison.elsewhere:
        names = ", ".join(list(comparison.elsewhere)[:10])
        cost = format_usd(sum(tally.nanousd for tally in comparison.elsewhere.values()))
        yield f"Not the gateway's, and not compared: ${cost} for {len(comparison.elsewhere)} other models ({names})."
