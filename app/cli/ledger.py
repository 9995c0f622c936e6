"""`ledger`: prove that everything is accounted for; close what dead processes left."""

import asyncio
import secrets
from dataclasses import asdict
from typing import Annotated, Any

import typer

from app.cli.options import Json, commands
from app.cli.store import opened, reading, settings_of
from app.cli.terminal import Terminal, say, show_json, show_table
from app.errors import CommandError
from app.quotas.audit import Finding, Severity, audit, compare_with_bill
from app.quotas.ledger import Ledger

app = commands("Prove that every request is accounted for.")

_BILL_BYTES_MAX = 100_000_000
_BILL_SECONDS_MAX = 30.0


@app.command("audit")
def audit_(
    context: typer.Context,
    against_bill: Annotated[str | None, typer.Option(help="Compare with the sandbox's bill at this URL.")] = None,
    as_json: Json = False,
) -> None:
    """Check that counters equal their rows and every reservation is resolved once. Exit 1 when something is wrong."""
    bill = _fetch(against_bill) if against_bill else None
    with reading(context) as connection:
        findings = list(audit(connection, Terminal.of(context).clock()))
        if bill is not None:
            findings += compare_with_bill(connection, bill)
    wrong = [finding for finding in findings if finding.severity is Severity.ERROR]
    if as_json:
        show_json({"clean": not wrong, "findings": [asdict(finding) for finding in findings]})
    else:
        _show(findings, len(wrong))
    raise typer.Exit(1 if wrong else 0)


@app.command()
def expire(context: typer.Context, as_json: Json = False) -> None:
    """Close the reservations whose time is over; running gateways do so by themselves."""
    terminal, settings = Terminal.of(context), settings_of(context)

    async def sweep() -> list[str]:
        with opened(settings) as engine:
            ledger = Ledger(
                engine,
                terminal.clock,
                instance=f"cli-{secrets.token_hex(4)}",
                queue_max=settings.ledger_queue_max,
                wait_seconds=settings.ledger_wait_seconds,
            )
            await ledger.start()
            try:
                return await ledger.expire(terminal.clock())
            finally:
                await ledger.close()

    with reading(context):
        pass  # refuses, with the reason, where there is no database to sweep
    expired = asyncio.run(sweep())
    if as_json:
        show_json({"expired": expired})
    else:
        say(f"Closed {len(expired)} reservations.")


def _fetch(url: str) -> dict[str, Any]:
    import httpx2  # noqa: PLC0415 - only this option needs it

    try:
        answer = httpx2.get(url, timeout=_BILL_SECONDS_MAX)
        answer.raise_for_status()
        bill = answer.json() if len(answer.content) <= _BILL_BYTES_MAX else None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):
        raise CommandError(f"No bill could be read at {url}.") from None
    if not isinstance(bill, dict) or not isinstance(bill.get("generations"), list):
        raise CommandError(f"What is at {url} is no bill.")
    return bill


def _show(findings: list[Finding], wrong_count: int) -> None:
    if findings:
        show_table(
            ["", "what", "where", "how"], [[each.severity, each.check, each.subject, each.message] for each in findings]
        )
    say(f"{wrong_count} things are wrong." if wrong_count else "The ledger is right.")
