"""`db`: bring the database to the newest schema, as `serve` does when it starts; copy it, and put a copy back."""

import time
from pathlib import Path
from typing import Annotated

import typer

from app.cli.terminal.options import Json, commands
from app.cli.terminal.output import say, show_json
from app.cli.terminal.session import Session
from app.database import migrate
from app.database.copies.backup import back_up, pg_dump_line
from app.database.copies.backup import restore as put_back
from app.database.engine import opened
from app.database.url import shown_place, sqlite_file
from app.errors import Conflict

app = commands("Bring the database to the newest schema, copy it, and put a copy back.")
File = Annotated[Path, typer.Argument(help="The copy.")]


@app.callback()
def _group() -> None:
    """Bring the database to the newest schema, copy it, and put a copy back."""


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
