"""`console`: a link that signs somebody in to the console, once."""

from typing import Annotated

import typer

from app.admin.access.sign_in import ROLES, create_link
from app.cli.terminal.options import Json, commands
from app.cli.terminal.output import say, show, show_json
from app.cli.terminal.session import Session
from app.cli.terminal.settings_view import with_setup
from app.errors import ConfigurationError
from app.settings.settings import Settings

app = commands("Make links that sign in to the console.")


@app.callback()
def _group() -> None:
    """Make links that sign in to the console."""


@app.command()
def link(
    context: typer.Context,
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="Who is signed in.")],
    role: Annotated[
        str | None,
        typer.Option("--role", metavar="ROLE", help=f"For this session, instead of the user's: {', '.join(ROLES)}."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a link that signs a user in to the console. It works once, within ten minutes.

    \b
    zenmux-gateway console link --user alice
    zenmux-gateway console link --user alice --role admin
    """
    session = Session(context)
    if not (session.settings.has_console or with_setup(session.settings).has_console):
        raise ConfigurationError("The console is off: set GATEWAY_CONSOLE=true, or GATEWAY_ADMIN_KEY.")
    with session.existing() as operator:
        token = create_link(operator, user, role)
    url = f"{console_root(session.settings)}/console/link/{token.get_secret_value()}"
    if as_json:
        show_json({"url": url, "user": user, "role": role, "minutes": 10})
        return
    show(url)
    say("It works once, within ten minutes. Whoever opens it is signed in, so send it as you would send a password.")


def console_root(settings: Settings) -> str:
    """Where browsers reach the gateway, as far as the settings say."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not listened on
    shown = f"[{host}]" if ":" in host else host
    return settings.public_url or f"http://{shown}:{settings.port}"
