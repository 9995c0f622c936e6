"""`serve`: the gateway for real use. Refuses to start if something is missing, and says what."""

import logging
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Annotated, Any

import typer
from starlette.types import ASGIApp

from app import __version__
from app.cli.terminal.options import command
from app.cli.terminal.output import PROGRAM, Terminal, say, utc_now
from app.cli.terminal.settings_view import Advice, judge_keys, judge_workers, read_settings, with_setup
from app.configuration.configuration import Configuration, ConfigurationState
from app.configuration.folders import check_folders
from app.configuration.reading import Checked, Reread, check, reread
from app.database import migrate
from app.database.engine import opened
from app.database.instance import only_instance
from app.database.pooling import refuse_transaction_pooling
from app.database.url import shown_place, sqlite_file
from app.errors import ConfigurationError
from app.files.opening import place_of
from app.server import serving
from app.server.http.bounds import Hooks
from app.server.loading import loading
from app.settings.settings import Settings

app = command()

DEV_KEY_FILE = "dev-key"

Host = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Address to listen on, instead of GATEWAY_HOST.", show_default=False),
]
Port = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, metavar="NUMBER", help="Port, instead of GATEWAY_PORT; 0 picks one.", show_default=False
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, max=64, metavar="NUMBER", help="Processes, instead of GATEWAY_WORKERS.", show_default=False),
]

_PORT_SETTING = "GATEWAY_PORT or --port"

_logger = logging.getLogger("gateway")


@app.command()
def serve(context: typer.Context, host: Host = None, port: Port = None, workers: Workers = None) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; requests that run then are finished first.

    \b
    ZENMUX_API_KEY=sk-ai-v1-... zenmux-gateway serve
    zenmux-gateway --config gateway.env serve --host 0.0.0.0
    zenmux-gateway --config gateway.env serve --workers 4
    """
    options = chosen(host=host, port=port, workers=workers)

    def read() -> Settings:
        """The same sources each time: the environment of this process, and the files."""
        found = with_setup(read_settings(Terminal.of(context).config_file, **options))
        for advice in _advices(found):
            if advice.serious:
                raise ConfigurationError(advice.message)
        return found

    settings = read()
    serving.start_logging(settings)
    for advice in _advices(settings):
        _logger.warning(advice.message)
    if (settings.data_dir / DEV_KEY_FILE).exists():
        _logger.warning(
            f"{settings.data_dir} was used by `{PROGRAM} dev`: what its sandbox pretended to sell stands in the "
            f"records, and the key of user dev works here too (`{PROGRAM} users disable dev`)."
        )
    checked = check(settings)  # faults are reported once, before anything is made
    raise typer.Exit((_serve_alone if settings.workers == 1 else _serve_with_workers)(checked, read))


def _advices(settings: Settings) -> list[Advice]:
    return [*judge_keys(settings), *judge_workers(settings)]


def _serve_alone(checked: Checked, read: Callable[[], Settings]) -> int:
    from app.server.rereading import reload_on_hangup  # noqa: PLC0415 - dev does not need it

    settings, running = checked.configuration.settings, ConfigurationState(0, checked.configuration, utc_now())
    gateway = make_gateway(checked.configuration)
    listener = serving.listen(settings.host, settings.port, _PORT_SETTING)

    def on_ready(hooks: Hooks) -> None:
        reload_on_hangup(running, partial(_reread, read), hooks)
        _tell(listener)

    with listener, prepared(checked):
        return run_gateway(gateway, settings, listener, on_ready)


def _serve_with_workers(checked: Checked, read: Callable[[], Settings]) -> int:
    from app.server.supervisor import Supervisor  # noqa: PLC0415 - nobody else needs it

    settings, running = checked.configuration.settings, ConfigurationState(0, checked.configuration, utc_now())
    holder = serving.bind(settings.host, settings.port, _PORT_SETTING)
    with holder, prepared(checked):
        supervisor = Supervisor(
            running,
            partial(_reread, read),
            holder,
            lambda: _tell(holder, workers=settings.workers),
        )
        code = supervisor.run()
    _logger.info("stopped")
    return code


def _reread(read: Callable[[], Settings], before: Configuration, is_trial: bool) -> Reread:
    return reread(before, read, utc_now, is_trial=is_trial)


def _tell(listener: socket.socket, **more: int) -> None:
    url = f"{serving.base_url(listener)}/v1"
    _logger.info("listening", extra={"url": url, "version": __version__, **more})
    if sys.stderr.isatty():
        say(f"\n{PROGRAM} {__version__} serves {url} (Ctrl-C stops it)\n")


def chosen(**options: object) -> dict[str, Any]:
    """The given options: they replace the settings."""
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def prepared(checked: Checked) -> Iterator[None]:
    """Brings the database up to date, and applies the set-up file. An SQLite file is also locked against a second
    process. Raises SetupError with the line, ConfigurationError for a place that cannot be written.
    """
    settings = checked.configuration.settings
    check_folders(settings)
    place_of(settings)  # a bucket that cannot work is refused here, in a line
    file = sqlite_file(settings.database)
    # A file may have several names but has one folder, and the lock is there.
    with only_instance(file.resolve().parent) if file else nullcontext():
        with opened(settings.database) as engine:
            refuse_transaction_pooling(engine)
            before = migrate.current(engine)
            migrate.upgrade(engine)
            after = migrate.current(engine)
        if before != after:
            place = {"database": shown_place(settings.database), "before": before, "after": after}
            _logger.info("database_upgraded", extra=place)
        checked.apply_setup(utc_now)
        yield


def make_gateway(configuration: Configuration) -> ASGIApp:
    """The app; opens nothing yet."""
    with loading():
        from app.main import create_app  # noqa: PLC0415 - loads the whole gateway: only when nothing simpler is wrong

    return create_app(configuration)


def run_gateway(
    gateway: ASGIApp, settings: Settings, listener: socket.socket, on_ready: Callable[[Hooks], None]
) -> int:
    """Serves on `listener` until a signal. Returns the exit code."""
    serving.bound_buffers(listener, settings.socket_buffer_bytes)
    seconds, bounds = settings.shutdown_seconds, serving.bounds_of(settings)
    code = serving.run(gateway, listener, shutdown_seconds=seconds, on_ready=on_ready, bounds=bounds)
    _logger.info("stopped" if code == 0 else "not_started")
    return code
