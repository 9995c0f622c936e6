"""`files`: replace the secret that links to images are signed with."""

import typer

from app.admin.files import rotate_link_secret
from app.cli.terminal.options import Json, commands
from app.cli.terminal.output import say, show_json
from app.cli.terminal.session import Session

app = commands("Replace the secret of links to images.")


@app.callback()
def _group() -> None:
    """Replace the secret of links to images."""


@app.command("rotate-secret")
def rotate_secret(context: typer.Context, as_json: Json = False) -> None:
    """Sign links to images with a new secret. Links that were given out work to their end.

    \b
    zenmux-gateway files rotate-secret
    """
    session = Session(context)
    with session.existing() as operator:
        rotation = rotate_link_secret(operator, session.settings.files_seconds)
    if as_json:
        show_json(rotation.as_json())
        return
    say(f"Links are signed with secret number {rotation.version}. Running gateways use it within a minute.")
    if rotation.kept:
        say(f"Links of the {rotation.kept} before it work to their end.")
