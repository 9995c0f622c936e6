"""`usage`: who used what, and what it cost."""

import csv
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from app.cli.options import Json, commands
from app.cli.store import reading
from app.cli.terminal import Terminal, WrongUse, read, show_json, show_table
from app.cli.words import parse_since, parse_until
from app.quotas.limits import format_usd
from app.quotas.reports import Grouping, UsageRow, usage_report

app = commands("Report who used what, and what it cost.")

_COLUMNS = ["requests", "pending", "released", "estimated", "images", "tokens", "usd"]


@app.callback()
def _group() -> None:
    """Report who used what, and what it cost."""


@app.command()
def report(
    context: typer.Context,
    by: Annotated[Grouping, typer.Option(help="What to group by.")] = Grouping.USER,
    since: Annotated[str | None, typer.Option(help="From a date, or 7d ago.")] = None,
    until: Annotated[str | None, typer.Option(help="To the end of a date, or 1d ago.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Json = False,
) -> None:
    """Sum up usage by user, team, key, model or day. Times are UTC.

    \b
    zenmux-gateway usage report --by model --since 2026-11-01
    """
    if as_csv and as_json:
        raise WrongUse("Choose one of --csv and --json.")
    now = Terminal.of(context).clock()
    since_at = read("--since", lambda: parse_since(since, now)) if since else None
    until_at = read("--until", lambda: parse_until(until, now)) if until else None
    with reading(context) as connection:
        rows = usage_report(connection, by, since_at, until_at)
        if as_csv:
            writer = csv.writer(sys.stdout)
            writer.writerow([by.value, *(column.replace(" ", "_") for column in _COLUMNS)])
            writer.writerows(_cells(row) for row in rows)
        elif as_json:
            show_json([_fields(by, row) for row in rows])
        else:
            show_table([by.value, *_COLUMNS], [_cells(row) for row in rows], right=_COLUMNS)


def _cells(row: UsageRow) -> list[str]:
    counts = (row.requests, row.pending, row.released, row.estimated, row.images, row.tokens)
    return [row.name or "(none)", *map(str, counts), format_usd(row.nanousd)]


def _fields(by: Grouping, row: UsageRow) -> dict[str, Any]:
    fields = asdict(row)
    return {by.value: fields.pop("name"), **fields, "usd": format_usd(row.nanousd)}
