"""`usage`: who used what, and what it cost."""

import csv
import sys
from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Annotated

import typer

from app.admin.csv_cells import csv_text
from app.admin.reads.refusals import refused_row_json, report_refusals
from app.admin.usage import usage_report, usage_row_json
from app.cli.terminal.options import Json, commands
from app.cli.terminal.output import WrongUse, read, say, show_json_rows, show_table
from app.cli.terminal.parsing import day_and_time, parse_since, parse_until
from app.cli.terminal.session import Session
from app.quotas.reports.usage import Grouping, UsageRow
from app.quotas.rules.limits import format_usd

app = commands("Report who used what, and what it cost.")

_COUNTS = (
    "requests",
    "pending",
    "released",
    "refused",
    "estimated",
    "unpriced",
    "images",
    "tokens",
    "input_text_tokens",
    "input_image_tokens",
    "output_text_tokens",
    "output_image_tokens",
)
_REFUSALS_SHOWN_MAX = 1000
_SHOWN_COUNTS = ("requests", "pending", "released", "refused", "estimated", "unpriced", "images", "tokens")


@app.callback()
def _group() -> None:
    """Report who used what, and what it cost."""


@app.command()
def report(
    context: typer.Context,
    by: Annotated[Grouping, typer.Option(help="What a line is about.")] = Grouping.USER,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="From 2026-11-01 (UTC), or 7d ago. Without it: from the start.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="To the end of 2026-11-30, or to 1d ago. Without it: to now.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Json = False,
) -> None:
    """Add up usage by user, team, key, model, ZenMux account or day.

    \b
    zenmux-gateway usage report
    zenmux-gateway usage report --by model --since 30d
    zenmux-gateway usage report --by user --since 2026-11-01 --until 2026-11-30 --csv > november.csv
    """
    if as_csv and as_json:
        raise WrongUse("Choose one of --csv and --json.")
    session = Session(context)
    now = session.terminal.clock()
    since_at = read("--since", lambda: parse_since(since, now)) if since is not None else None
    until_at = read("--until", lambda: parse_until(until, now)) if until is not None else None
    if since_at is not None and since_at >= (until_at or now):
        raise WrongUse("--since is not before --until, so there is nothing to add up.")
    with session.existing() as operator, usage_report(operator, by, since_at, until_at) as rows:
        if as_csv:
            _write_csv(by, rows)
        elif as_json:
            show_json_rows(map(usage_row_json, rows))
        else:
            say(
                f"{_period(since_at, until_at)}. Released requests count for nothing, refused ones as requests only; "
                "pending ones are not in the amounts."
            )
            _show(by, list(rows))


@app.command()
def refusals(
    context: typer.Context,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="From the hour of 2026-11-01 (UTC), or of 7d ago.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="To the end of 2026-11-30, or to the hour of 1d ago.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show who was refused, why and how often, the most frequent first. A gateway writes its numbers every 10 seconds.

    \b
    zenmux-gateway usage refusals --since 7d
    zenmux-gateway usage refusals --since 2026-11-01 --until 2026-11-30 --json
    """
    session = Session(context)
    now = session.terminal.clock()
    since_at = read("--since", lambda: parse_since(since, now)) if since is not None else None
    until_at = read("--until", lambda: parse_until(until, now)) if until is not None else None
    with session.existing() as operator, report_refusals(operator, since_at, until_at) as found:
        if as_json:
            show_json_rows(map(refused_row_json, found))
            return
        rows = [
            [row.user or row.user_id or "(unknown)", row.key_id, row.key or "", row.code, f"{row.count:,}"]
            for row in islice(found, _REFUSALS_SHOWN_MAX)
        ]
    if not rows:
        say("Nothing was refused.")
        return
    show_table(["user", "key", "key's name", "code", "refused"], rows, right=["refused"])
    if len(rows) == _REFUSALS_SHOWN_MAX:
        say(f"These are the {_REFUSALS_SHOWN_MAX} most frequent; --json has all.")


def _write_csv(by: Grouping, rows: Iterable[UsageRow]) -> None:
    """Writes rows as they come: a report of any length needs the memory of one row."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([by.value, f"{by.value}_id", *_COUNTS, "usd", "nanousd"])
    for row in rows:
        counts = (getattr(row, name) for name in _COUNTS)
        writer.writerow([csv_text(row.name), csv_text(row.id), *counts, format_usd(row.nanousd), row.nanousd])


def _show(by: Grouping, rows: list[UsageRow]) -> None:
    if not rows:
        say("Nothing was used.")
        return
    lines = [_line(row.name or "(none)", [row]) for row in rows]
    if len(rows) > 1:
        lines.append(_line("total", rows))
    numbers = [*_SHOWN_COUNTS, "cost"]
    show_table([by.value, *numbers], lines, right=numbers)


def _line(name: str, rows: list[UsageRow]) -> list[str]:
    counts = (sum(getattr(row, column) for row in rows) for column in _SHOWN_COUNTS)
    return [name, *(f"{count:,}" for count in counts), f"${format_usd(sum(row.nanousd for row in rows))}"]


def _period(since: datetime | None, until: datetime | None) -> str:
    begin = f"From {day_and_time(since)}" if since else "From the start"
    return f"{begin} to {f'{day_and_time(until)}' if until else 'now'} (UTC)"
