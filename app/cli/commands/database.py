"""`db`: bring the database to the newest schema by hand; `serve` does so when it starts."""

import typer

from app.cli.terminal.options import Json, commands
from app.cli.terminal.output import say, show_json
from app.cli.terminal.session import Session
from app.database import migrate
from app.database.engine import opened
from app.database.url import shown_place

app = commands("Bring the database to the newest schema.")


@app.callback()
def _group() -> None:
    """Bring the database to the newest schema."""


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
