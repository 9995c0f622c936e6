"""`db`: bring the database to the newest schema, as `serve` does when it starts; copy it, put a copy back, move it."""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from app.admin.ledger import Audit, audit
from app.admin.operator import Operator
from app.cli.terminal.options import Json, commands
from app.cli.terminal.output import say, show_json
from app.cli.terminal.session import Session, operating
from app.database import migrate
from app.database.copies import move as moving
from app.database.copies.backup import back_up, pg_dump_line
from app.database.copies.backup import restore as put_back
from app.database.engine import opened, writing
from app.database.instance import only_instance
from app.database.url import shown_place, sqlite_file
from app.errors import Conflict, InvalidValue

app = commands("Bring the database to the newest schema, copy it, put a copy back, move it to PostgreSQL.")
File = Annotated[Path, typer.Argument(help="The copy.")]


@app.callback()
def _group() -> None:
    """Bring the database to the newest schema, copy it, put a copy back, move it to PostgreSQL."""


@app.command()
def upgrade(context: typer.Context, as_json: Json = False) -> None:
    """Make the database, or bring an old one to the newest schema. Where nothing is to be done, it does nothing.

    \b
    zenmux-gateway db upgrade
    """
    settings = Session(context).settings
    with opened(settings.database) as engine:
        before = migrate.current(engine)
        migrate.upgrade(engine)
        after = migrate.current(engine)
    if as_json:
        show_json({"database": shown_place(settings.database), "before": before, "after": after})
    elif before == after:
        say(f"Nothing to do: {shown_place(settings.database)} has the newest schema ({after}).")
    else:
        say(f"{shown_place(settings.database)} went from {before or 'nothing'} to schema {after}.")


@app.command()
def backup(context: typer.Context, file: File, as_json: Json = False) -> None:
    """Copy an SQLite database into a new file, while gateways use it. For PostgreSQL it says how to call pg_dump.

    \b
    zenmux-gateway db backup gateway-backup.db
    """
    database = Session(context).settings.database
    source = sqlite_file(database)
    if source is None:
        raise Conflict(f"PostgreSQL has its own tool for this: {pg_dump_line(database, file)}")
    if not source.is_file():
        raise Conflict(f"There is no database at {source}.")
    size = back_up(source, file)
    if as_json:
        show_json({"database": str(source), "backup": str(file), "bytes": size})
    else:
        say(f"Copied {source} into {file} ({size:,} bytes).")


@app.command()
def restore(context: typer.Context, file: File, as_json: Json = False) -> None:
    """Put a copy in the place of an SQLite database. The gateway must be stopped; the old database is kept beside it.

    \b
    zenmux-gateway db restore gateway-backup.db
    """
    database = Session(context).settings.database
    target = sqlite_file(database)
    if target is None:
        raise Conflict(f"PostgreSQL has its own tool for this: {pg_dump_line(database, file, back=True)}")
    kept = put_back(file, target, round(time.time() * 1000))
    if as_json:
        show_json({"database": str(target), "backup": str(file), "kept": None if kept is None else str(kept)})
    else:
        say(f"Put {file} in the place of {target}." + (f" What was there is {kept}." if kept else ""))
        say("Start the gateway, then `zenmux-gateway ledger audit` proves that the accounts are right.")


@app.command()
def move(
    context: typer.Context,
    to: Annotated[str, typer.Option(metavar="URL", help="postgresql://… of an empty database.")] = "",
    to_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file with that URL, so that no list of processes shows it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy an SQLite database into an empty PostgreSQL database, and compare both. The gateway must be stopped.

    If it is cut off, start it again: it goes on where it stopped. The SQLite file stays as it is.

    \b
    zenmux-gateway db move --to-file /run/secrets/database_url
    """
    session = Session(context)
    target = (to or (to_file.read_text(encoding="utf-8") if to_file else "")).strip()
    source = sqlite_file(session.settings.database)
    if source is None:
        raise Conflict("The database is on PostgreSQL already; its own tools copy it: pg_dump and pg_restore.")
    if not target or sqlite_file(target) is not None:
        raise InvalidValue("--to needs the URL of a PostgreSQL database: postgresql://user:password@host/database")
    if not source.is_file():
        raise Conflict(f"There is no database at {source}.")
    with (
        only_instance(source.resolve().parent),
        operating(session.terminal, session.settings.database) as old,
        operating(session.terminal, target) as new,
    ):
        rows, audited = _move(old, new, quiet=as_json)
    if as_json:
        place = {"database": str(source), "target": shown_place(target)}
        show_json({**place, "rows": rows, "audit": audited.as_json()})
    else:
        say(
            f"Every row is in {shown_place(target)}: {sum(rows.values()):,} in {len(rows)} tables, compared one by one."
        )
        say(f"The audit finds the same in both: {audited.wrong or 'nothing'} wrong.")
        say("Set GATEWAY_DATABASE_URL to it and start the gateway with the same GATEWAY_DATA_DIR.")


def _move(old: Operator, new: Operator, *, quiet: bool) -> tuple[dict[str, int], Audit]:
    """The rows of each table, and what the audit finds in both. Nobody can write the old database meanwhile."""
    rows: dict[str, int] = {}

    def show_rows(name: str, count: int) -> None:
        rows[name] = count
        if count and not quiet:
            say(f"{name}: {count:,} rows")

    with writing(old.engine) as source:
        tables = moving.begin(source, new.engine)
        for table in tables:
            moving.copy(source, new.engine, table, partial(show_rows, table.name))
        for table in tables:
            found = moving.difference(source, new.engine, table)
            if found is not None:
                raise Conflict(f"Not moved: {found}. Make the PostgreSQL database anew and start again.")
        now = old.now
        before, after = (audit(replace(operator, clock=lambda: now)) for operator in (old, new))
        if before != after:
            raise Conflict("Not moved: the audit does not find the same in both. Please report it.")
        moving.finish(new.engine, tables)
    return rows, after
