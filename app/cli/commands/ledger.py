"""`ledger`: prove that everything is accounted for, compare with the provider, close what is left open, prune."""

import asyncio
import time
from typing import Annotated

import typer

from app.admin.ledger import Audit, PrunePlan, audit, plan_prune
from app.admin.ledger import expire as expire_reservations
from app.admin.ledger import prune as prune_steps
from app.admin.operator import Operator
from app.admin.zenmux.bills import fetch_sandbox_bill
from app.cli.commands.reconcile import reconcile
from app.cli.terminal.options import Json, Yes, commands
from app.cli.terminal.output import confirm, read, say, show_json, show_table
from app.cli.terminal.parsing import parse_duration
from app.cli.terminal.session import Session

app = commands("Prove that every request is accounted for; close what dead processes left; keep it small.")

_PROGRESS_SECONDS = 2.0


@app.command("audit")
def audit_(
    context: typer.Context,
    against_bill: Annotated[
        str | None, typer.Option(metavar="URL", help="Compare with the sandbox's bill, such as …/sandbox/bill.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Prove that counters equal their records and every reservation is closed once. Exit code 1 if not.

    \b
    zenmux-gateway ledger audit
    zenmux-gateway ledger audit --against-bill http://127.0.0.1:8090/sandbox/bill
    """
    session = Session(context)
    bill = asyncio.run(fetch_sandbox_bill(session.settings, against_bill)) if against_bill is not None else None
    with session.existing() as operator:
        found = audit(operator, bill)
    if as_json:
        show_json(found.as_json())
    else:
        _show(found)
    raise typer.Exit(1 if found.wrong else 0)


@app.command()
def expire(context: typer.Context, as_json: Json = False) -> None:
    """Close reservations whose process died: charged if they had been sent, else free. Gateways do so by themselves.

    \b
    zenmux-gateway ledger expire
    """
    with (session := Session(context)).existing() as operator:
        expired = asyncio.run(expire_reservations(operator, session.settings))
    if as_json:
        show_json({"expired": expired})
    else:
        say(f"Closed {len(expired)} reservation{'' if len(expired) == 1 else 's'}.")


app.command()(reconcile)


@app.command()
def prune(
    context: typer.Context,
    older_than: Annotated[str, typer.Option(metavar="AGE", help="Such as 400d; 35 days or more.")],
    as_json: Json = False,
    yes: Yes = False,
) -> None:
    """Delete the records of whole days that are older than AGE. Totals, reports and limits stay what they are.

    \b
    zenmux-gateway ledger prune --older-than 400d
    zenmux-gateway ledger prune --older-than 400d --yes
    """
    age, pruned = read("--older-than", lambda: parse_duration(older_than)), 0
    with Session(context).existing() as operator:
        plan = read("--older-than", lambda: plan_prune(operator, age))
        if plan.records or plan.refusals:
            confirm(
                f"Delete {plan.records:,} records from before {plan.cutoff:%Y-%m-%d}? Their hourly and daily totals "
                "stay; the single requests are gone then, and the numbers of refusals from before that day.",
                yes=yes,
            )
            pruned = _prune(operator, plan)
    if as_json:
        show_json(plan.as_json(pruned))
        return
    kept = f" {plan.pending:,} are pending and stay." if plan.pending else ""
    say(f"Deleted {pruned:,} records from before {plan.cutoff:%Y-%m-%d}.{kept}")


def _prune(operator: Operator, plan: PrunePlan) -> int:
    """Prunes, and prints the progress from time to time."""
    pruned, said_at = 0, time.monotonic()
    for step in prune_steps(operator, plan):
        pruned += step.records
        if time.monotonic() - said_at > _PROGRESS_SECONDS:
            say(f"{pruned:,} of {plan.records:,}, up to {step.reached:%Y-%m-%d}")
            said_at = time.monotonic()
    return pruned


def _show(found: Audit) -> None:
    if found.findings:
        show_table(
            ["", "check", "about", "what was found"],
            [[each.severity, each.check, each.subject, each.message] for each in found.findings],
        )
    wrong = found.wrong
    say(f"{wrong} thing{' is' if wrong == 1 else 's are'} wrong." if wrong else "The ledger is right.")
