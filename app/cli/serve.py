"""`serve`: the real thing. Refuses to start when something is missing, and says what."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated, Any

import typer

from app import __version__
from app.cli import serving
from app.cli.configuration import judge_key, read_settings
from app.cli.options import command
from app.cli.store import opened, shown_place, sqlite_file
from app.cli.terminal import PROGRAM, Terminal, say
from app.database import migrate
from app.database.instance import only_instance
from app.errors import CommandError
from app.settings import Settings
from app.telemetry.logs import configure_logging

app = command()

DEV_KEY_FILE = "dev-key"

Host = Annotated[str | None, typer.Option(help="Address to listen on, instead of GATEWAY_HOST.", show_default=False)]
Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port, instead of GATEWAY_PORT; 0 picks one.", show_default=False)
]


@app.command()
def serve(context: typer.Context, host: Host = None, port: Port = None) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; requests that run then are finished first.

    \b
    ZENMUX_API_KEY=sk-ai-v1-… zenmux-gateway serve
    zenmux-gateway --config gateway.env serve --host 0.0.0.0
    """
    settings = read_settings(Terminal.of(context).config_file, **chosen(host=host, port=port))
    for advice in judge_key(settings.zenmux_api_key):
        if advice.serious:
            raise CommandError(advice.message)
        say(f"Warning: {advice.message}")
    if (settings.data_dir / DEV_KEY_FILE).exists():
        say(
            f"Warning: {settings.data_dir} was used by `{PROGRAM} dev`: what was spent in its sandbox stands in the "
            f"records, and the key of user dev works here too ({PROGRAM} users disable dev)."
        )
    listener = serving.listen(settings.host, settings.port, "GATEWAY_PORT or --port")
    with listener, prepared(settings):
        url = serving.base_url(listener)
        code = run_gateway(
            settings, listener, lambda: say(f"{PROGRAM} {__version__} serves {url}/v1 (Ctrl-C stops it)")
        )
    raise typer.Exit(code)


def chosen(**options: object) -> dict[str, Any]:
    """The options that were given: they win over the settings."""
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def prepared(settings: Settings) -> Iterator[None]:
    """The database up to date, and held against a second process where it is an SQLite file."""
    file = sqlite_file(settings.database)
    with only_instance(file.parent) if file else nullcontext():
        with opened(settings) as engine:
            if not migrate.is_current(engine):
                migrate.upgrade(engine)
                say(f"The database is up to date: {shown_place(settings)}")
        yield


def run_gateway(settings: Settings, listener: socket.socket, on_ready: Callable[[], None]) -> int:
    """Serve the gateway on `listener`; the exit code. Raises CommandError for settings that cannot work."""
    # Loads the whole house: only here, when everything that can be refused without it was.
    from app.images.catalog import CatalogError  # noqa: PLC0415
    from app.main import create_app  # noqa: PLC0415

    configure_logging(settings.log_level, settings.log_format)
    try:
        gateway = create_app(settings)
    except CatalogError as error:
        raise CommandError(str(error)) from None
    return serving.run(gateway, listener, shutdown_seconds=settings.shutdown_seconds, on_ready=on_ready)
