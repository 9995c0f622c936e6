"""`config`: check everything the gateway needs before it starts; show the settings and where each comes from."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from app.alerts.hook import webhook_of
from app.cli.commands.exposure import LOOPBACK, exposures
from app.cli.commands.files_check import check_files
from app.cli.terminal.options import Json, commands
from app.cli.terminal.output import PROGRAM, Terminal, say, show_json, show_table
from app.cli.terminal.output import show as show_text
from app.cli.terminal.session import Session
from app.cli.terminal.settings_view import judge_keys, judge_workers, misspelt_names, show_settings, with_setup
from app.configuration.folders import check_folders
from app.database import migrate, migrations
from app.database.engine import opened
from app.database.pooling import refuse_transaction_pooling
from app.database.url import shown_place, sqlite_file
from app.errors import ConfigurationError, GatewayError, RemoteFailure
from app.images.request.policy import request_policy
from app.settings.settings import Settings
from app.setup.catalog import catalog_of
from app.setup.reading import bootstrap_of

app = commands("Check and show the settings.")

_OK, _WARNING, _ERROR = "ok", "warning", "error"
_MARKS = {_OK: "ok     ", _WARNING: "WARNING", _ERROR: "ERROR  "}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked: `status` is ok, warning or error."""

    name: str
    status: str
    message: str


@app.command()
def check(
    context: typer.Context,
    connect: Annotated[bool, typer.Option("--connect", help="Also connect to ZenMux once; sends no key.")] = False,
    as_json: Json = False,
) -> None:
    """Check settings, ZenMux key, models and database; start and change nothing. Exit code 1 if `serve` would fail.

    \b
    zenmux-gateway config check
    zenmux-gateway --config gateway.env config check --connect
    """
    checks = list(_checks(context, connect=connect))
    failed = any(each.status == _ERROR for each in checks)
    if as_json:
        show_json({"ok": not failed, "checks": [asdict(each) for each in checks]})
    else:
        for each in checks:
            show_text(f"{_MARKS[each.status]}  {each.name:<9} {each.message}")
    raise typer.Exit(1 if failed else 0)


@app.command()
def show(context: typer.Context, as_json: Json = False) -> None:
    """Show every setting, its value (secrets hidden) and where it comes from.

    \b
    zenmux-gateway config show
    """
    shown = show_settings(Session(context).settings, os.environ)
    if as_json:
        show_json([asdict(setting) for setting in shown])
        return
    show_table(["setting", "value", "from"], [[each.name, each.value or "", each.origin] for each in shown])
    file = Terminal.of(context).config_file
    say(f"The file is {file}; the environment wins over it." if file else "No settings file is named (GATEWAY_CONFIG).")


def _checks(context: typer.Context, *, connect: bool) -> Iterator[Check]:
    try:
        settings = with_setup(Session(context).settings)
    except ConfigurationError as error:
        yield from (Check("settings", _ERROR, line) for line in error.message.splitlines())
        return
    file = Terminal.of(context).config_file
    yield Check("settings", _OK, f"read from the environment{f' and {file}' if file else ''}")
    yield from (Check("settings", _WARNING, line) for line in misspelt_names(os.environ))
    advices = judge_keys(settings)
    yield from (Check("key", _ERROR if each.serious else _WARNING, each.message) for each in advices)
    if not advices:
        which = "ZENMUX_API_KEY is set" if settings.zenmux_api_key else f"{len(settings.accounts)} accounts are set"
        yield Check("key", _OK, f"{which}; whether ZenMux takes it shows with the first image")
    yield from _check_models(settings)
    yield from (Check("workers", _ERROR, each.message) for each in judge_workers(settings))
    yield _check_capacity(settings)
    yield _check_folders(settings)
    yield _check_database(settings)
    yield from (Check("files", status, message) for status, message in check_files(settings))
    yield from _check_webhook(settings)
    yield _check_upstream(settings, connect=connect)
    yield from (Check(name, _WARNING, message) for name, message in exposures(settings, file, os.environ))


def _check_models(settings: Settings) -> Iterator[Check]:
    try:
        catalog = catalog_of(settings, bootstrap_of(settings))
        request_policy(settings, catalog)
    except ConfigurationError as error:
        yield Check("models", _ERROR, str(error))
        return
    yield Check("models", _OK, f"{len(catalog.models)} in the catalog")
    for name, model in (("DEFAULT", settings.default_model), ("SUCCESSOR", settings.successor_model)):
        spec = catalog.find(model) if model else None
        if spec is not None and spec.ends_on is not None:
            yield Check("models", _WARNING, f"GATEWAY_{name}_MODEL names {spec.name}, which ends on {spec.ends_on}")


def _check_upstream(settings: Settings, *, connect: bool) -> Check:
    """How requests will leave for ZenMux; with `connect`, what a connection shows."""
    from app.upstream.wire.proxies import check_way  # noqa: PLC0415 - other commands need none of it

    host = urlsplit(settings.zenmux_base_url).hostname
    try:
        way = check_way(settings, settings.zenmux_base_url)
        if not connect:
            return Check("upstream", _OK, f"{host} is asked {way}; --connect tries it")
        from app.upstream.probe import look  # noqa: PLC0415 - loads the HTTP client

        seen = asyncio.run(look(settings))
    except (ConfigurationError, RemoteFailure) as error:
        return Check("upstream", _ERROR, error.message)
    seen_parts = [f"connected to {seen.address or host}", f"transport {seen.transport}"]
    seen_parts += [f"proxy {seen.proxy}"] if seen.proxy else ["no proxy"]
    if seen.issuer or seen.expires:
        seen_parts.append(f"certificate issued by {seen.issuer}, good until {seen.expires}")
    seen_parts.append(f"GET /models answers {seen.status}")
    return Check("upstream", _OK if seen.status == 200 else _WARNING, "; ".join(seen_parts))


def _check_capacity(settings: Settings) -> Check:
    """As this process would have it. A service manager or a container may give the gateway another limit."""
    found = settings.capacity
    if found.advice is not None:
        return Check("capacity", _WARNING, found.advice)
    each = f"each of {settings.workers} workers takes " if settings.workers > 1 else ""
    return Check(
        "capacity",
        _OK,
        f"{each}{found.requests_in_flight_max} requests at a time, {found.upstream_connections_max} connections to "
        f"ZenMux and {found.connections_max} of callers, where {found.descriptors} files may be open, as here",
    )


def _check_folders(settings: Settings) -> Check:
    try:
        check_folders(settings)
    except ConfigurationError as error:
        return Check("folders", _ERROR, error.message)
    return Check("folders", _OK, f"{settings.data_dir} can be written")


def _check_webhook(settings: Settings) -> Iterator[Check]:
    """Nothing if no webhook is set. Sends nothing."""
    try:
        hook = webhook_of(settings)
    except ConfigurationError as error:
        yield Check("webhook", _ERROR, error.message)
        return
    if hook is None:
        if settings.webhook_secret is not None:
            yield Check(
                "webhook", _WARNING, "GATEWAY_WEBHOOK_SECRET is set, but no GATEWAY_WEBHOOK_URL: nothing is sent"
            )
        return
    url = urlsplit(hook.url)
    if url.scheme == "http" and url.hostname not in LOOPBACK:
        yield Check("webhook", _WARNING, "GATEWAY_WEBHOOK_URL is http: whoever is on the way reads names and amounts")
    else:
        yield Check("webhook", _OK, f"crossed thresholds are sent to {url.hostname}")


def _check_database(settings: Settings) -> Check:
    """Looks only, and makes nothing: not even the file that opening an SQLite database would make."""
    try:
        file = sqlite_file(settings.database)
        if file is not None and not os.path.lexists(file):
            return _check_missing_file(file)
        with opened(settings.database) as engine:
            refuse_transaction_pooling(engine)
            version = migrate.current(engine)
        migrate.refuse_unknown(version)
    except GatewayError as error:
        reason = getattr(error.__cause__, "orig", None)
        return Check("database", _ERROR, " ".join(f"{error.message} {reason or ''}".split()))
    place = shown_place(settings.database)
    if version is None:
        return Check("database", _OK, f"{place} answers and is empty; the first start sets it up")
    if version == migrations.HEAD:
        return Check("database", _OK, f"{place} answers, with the newest schema")
    return Check(
        "database", _WARNING, f"{place} has schema {version}: `{PROGRAM} db upgrade` or the next start lifts it"
    )


def _check_missing_file(file: Path) -> Check:
    folder = next((parent for parent in file.absolute().parents if parent.exists()), Path("/"))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return Check("database", _ERROR, f"{file} is not there, and cannot be made in {folder}")
    return Check("database", _OK, f"{file} is not there yet; the first start makes it")
