"""`ledger`: prove that everything is accounted for, compare with the provider, close what is left open, prune."""

import asyncio
import json
import time
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from sqlalchemy import Engine

from app.cli.options import Json, Yes, commands
from app.cli.reconcile import reconcile
from app.cli.store import change_by, opened, reading, settings_of
from app.cli.terminal import Terminal, confirm, read, say, show_json, show_table
from app.cli.words import iso, parse_duration
from app.database.changes import Change
from app.errors import RemoteFailure
from app.quotas.audit import Finding, Severity, audit, compare_with_bill
from app.quotas.ledger import Ledger
from app.quotas.retention import cutoff_of, find_prunable
from app.quotas.retention import prune as prune_steps
from app.quotas.spool import Spool
from app.quotas.thresholds import Watch

app = commands("Prove that every request is accounted for; close what dead processes left; keep it small.")

_BILL_BYTES_MAX = 100_000_000
_BILL_SECONDS_MAX = 30.0
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
    bill = _fetch_bill(against_bill) if against_bill is not None else None
    with reading(context) as connection:
        findings = list(audit(connection, Terminal.of(context).clock()))
        if bill is not None:
            findings += compare_with_bill(connection, bill)
    wrong = sum(finding.severity is Severity.ERROR for finding in findings)
    if as_json:
        show_json({"clean": not wrong, "findings": [asdict(finding) for finding in findings]})
    else:
        _show(findings, wrong)
    raise typer.Exit(1 if wrong else 0)


@app.command()
def expire(context: typer.Context, as_json: Json = False) -> None:
    """Close reservations whose process died: charged if they had been sent, else free. Gateways do so by themselves.

    \b
    zenmux-gateway ledger expire
    """
    with reading(context):
        pass  # refuses, with the reason, where there is no database to look through
    expired = asyncio.run(_expire(context))
    if as_json:
        show_json({"expired": expired})
    else:
        say(f"Closed {len(expired)} reservation{'' if len(expired) == 1 else 's'}.")


app.command()(reconcile)


async def _expire(context: typer.Context) -> list[str]:
    terminal, settings = Terminal.of(context), settings_of(context)
    instance = f"cli-{terminal.random_bytes(6).hex()}"
    spool = None
    if settings.spool_dir.is_dir():  # never made here: it would be this user's, who may not be the gateway's
        spool = Spool(settings.spool_dir, instance, settings.spool_bytes_max)
    with opened(settings) as engine:
        ledger = Ledger(
            engine,
            terminal.clock,
            instance=instance,
            queue_max=settings.ledger_queue_max,
            wait_seconds=settings.ledger_wait_seconds,
            # What is charged here may cross a threshold; a running gateway sends it.
            watch=Watch(settings.thresholds_percent, webhook=settings.webhook_url is not None),
        )
        await ledger.start(spool)
        try:
            return await ledger.expire(terminal.clock())
        finally:
            await ledger.close()


@app.command()
def prune(
    context: typer.Context,
    older_than: Annotated[str, typer.Option(metavar="AGE", help="Such as 400d; 35 days or more.")],
    as_json: Json = False,
    yes: Yes = False,
) -> None:
    """Turn records of whole days that are older than AGE into daily totals. Reports and limits stay what they are.

    \b
    zenmux-gateway ledger prune --older-than 400d
    zenmux-gateway ledger prune --older-than 400d --yes
    """
    now = Terminal.of(context).clock()
    cutoff = read("--older-than", lambda: cutoff_of(now, parse_duration(older_than)))
    with reading(context) as connection:
        found = find_prunable(connection, cutoff)
    pruned = 0
    if found.records:
        confirm(
            f"Make daily totals of {found.records:,} records from before {cutoff:%Y-%m-%d} and delete them? "
            "Their single requests are gone then.",
            yes=yes,
        )
        with opened(settings_of(context)) as engine:
            pruned = _prune(engine, cutoff, change_by(context), found.records)
    if as_json:
        show_json({"before": iso(cutoff), "pruned": pruned, "pending": found.pending})
        return
    kept = f" {found.pending:,} are pending and stay." if found.pending else ""
    say(f"Made daily totals of {pruned:,} records from before {cutoff:%Y-%m-%d}.{kept}")


def _prune(engine: Engine, cutoff: datetime, change: Change, expected: int) -> int:
    """Rests as long as it works, so that a gateway beside it, on SQLite most of all, gets its turn."""
    pruned, told_at = 0, time.monotonic()
    began = time.monotonic()
    for step in prune_steps(engine, cutoff, change):
        pruned += step.records
        now = time.monotonic()
        if now - told_at > _PROGRESS_SECONDS:
            say(f"{pruned:,} of {expected:,}, up to {step.reached:%Y-%m-%d}")
            told_at = now
        time.sleep(now - began)
        began = time.monotonic()
    return pruned


def _fetch_bill(url: str) -> dict[str, Any]:
    """The bill at `url`, bounded in size and time. Raises RemoteFailure."""
    import httpx2  # noqa: PLC0415 - only this option needs it

    body = bytearray()
    try:
        with httpx2.stream("GET", url, timeout=_BILL_SECONDS_MAX) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > _BILL_BYTES_MAX:
                    raise RemoteFailure(f"The bill at {url} is over {_BILL_BYTES_MAX // 1_000_000} MB.")
        bill = json.loads(body)
    except httpx2.HTTPStatusError as error:
        raise RemoteFailure(f"There is no bill at {url}: it answers {error.response.status_code}.") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise RemoteFailure(f"No bill could be read at {url}: {error or type(error).__name__}.") from None
    if not isinstance(bill, dict) or not isinstance(bill.get("generations"), list):
        raise RemoteFailure(f"What is at {url} is no bill: it has no list of generations.")
    return bill


def _show(findings: list[Finding], wrong: int) -> None:
    if findings:
        show_table(
            ["", "check", "about", "what was found"],
            [[each.severity, each.check, each.subject, each.message] for each in findings],
        )
    say(f"{wrong} thing{' is' if wrong == 1 else 's are'} wrong." if wrong else "The ledger is right.")
