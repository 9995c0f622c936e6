"""`export`: today's teams, users, keys and limits as a gateway.yaml."""

import typer

from app.admin.setup.export import export_setup
from app.cli.terminal.options import command
from app.cli.terminal.output import show
from app.cli.terminal.session import Session

app = command()


@app.command()
def export(context: typer.Context) -> None:
    """Print today's set-up as a file for `apply`. Secrets are in no file.

    \b
    zenmux-gateway export > gateway.yaml
    """
    with Session(context).existing() as operator:
        show(export_setup(operator).rstrip("\n"))
