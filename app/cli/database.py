"""`db`: bring the database to the newest schema by hand; `serve` does so when it starts."""

import typer

from app.cli.options import commands
from app.cli.store import opened, settings_of, shown_place
from app.cli.terminal import say
from app.database import migrate

app = commands("Bring the database to the newest schema.")


@app.callback()
def _group() -> None:
    """Bring the database to the newest schema."""


@app.command()
def upgrade(context: typer.Context) -> None:
    """Make the database, or bring an old one to the newest schema. Nothing to do is well, too."""
    settings = settings_of(context)
    with opened(settings) as engine:
        before = migrate.current(engine)
        migrate.upgrade(engine)
        after = migrate.current(engine)
    told = "is up to date" if before == after else f"is now at {after}"
    say(f"The database {told}: {shown_place(settings)}")
