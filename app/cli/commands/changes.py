"""`changes`: who changed what, when, and what it was before."""

from collections.abc import Mapping
from typing import Annotated

import typer

from app.admin.changes import change_json, list_changes
from app.cli.terminal.options import Json, commands
from app.cli.terminal.output import WrongUse, read, say, show_json_rows, show_table
from app.cli.terminal.parsing import day_and_time, parse_since, parse_until
from app.cli.terminal.session import Session
from app.database.changes import RecordedChange, Wanted

app = commands("Show who changed what, when, and what it was before.")

_TABLE_ROWS_MAX = 10_000


@app.callback()
def _group() -> None:
    """Show who changed what, when, and what it was before."""


@app.command("list")
def list_all(
    context: typer.Context,
    since: Annotated[str | None, typer.Option(metavar="WHEN", help="From 2026-11-01 (UTC), or 7d ago.")] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="To the end of 2026-11-30, or to 1d ago.")] = None,
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="By whom: a part of the name will do.")] = None,
    target: Annotated[
        str | None, typer.Option(metavar="NAME", help="On this user, team or key, their limits included; or gateway.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1_000_000, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List administrative changes, newest first. The list can only grow: the database refuses to change it.

    \b
    zenmux-gateway changes list
    zenmux-gateway changes list --since 7d --actor alice
    zenmux-gateway changes list --target design --limit 1000 --json
    """
    if limit > _TABLE_ROWS_MAX and not as_json:
        raise WrongUse(f"A table has at most {_TABLE_ROWS_MAX:,} rows; add --json for more.")
    session = Session(context)
    now = session.terminal.clock()
    since_at = read("--since", lambda: parse_since(since, now)) if since is not None else None
    until_at = read("--until", lambda: parse_until(until, now)) if until is not None else None
    wanted = Wanted(since_at, until_at, actor, target)
    with session.existing() as operator, list_changes(operator, wanted, limit) as changes:
        if as_json:
            show_json_rows(map(change_json, changes))
            return
        rows = [_row(change) for change in changes]
    if not rows:
        say("There is no such change.")
        return
    show_table(["at (UTC)", "who", "what", "on", "before", "after"], rows)
    if len(rows) == limit:
        say(f"These are the newest {limit}; --limit, --since and --until show others.")


def _row(change: RecordedChange) -> list[str]:
    values = (_values(change.before), _values(change.after))
    return [day_and_time(change.at), change.actor, change.action, change.target, *values]


def _values(values: Mapping[str, object] | None) -> str:
    return ", ".join(f"{name}={value}" for name, value in (values or {}).items() if value is not None)
