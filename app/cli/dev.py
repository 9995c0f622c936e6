"""`dev`: a gateway to try out, with a key and examples to paste; without a ZenMux key, the sandbox plays ZenMux."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from app.cli import serving
from app.cli.configuration import judge_key, read_settings
from app.cli.options import command
from app.cli.serve import DEV_KEY_FILE, Host, Port, chosen, prepared, run_gateway
from app.cli.snippets import curl_snippet, python_snippet
from app.cli.store import change_by, opened
from app.cli.terminal import PROGRAM, Terminal, say, show
from app.database.changes import Change
from app.database.engine import writing
from app.errors import CommandError
from app.keys.credentials import read_credential
from app.keys.format import PUBLIC_ID_BYTES, SECRET_BYTES, mint, parse
from app.keys.records import NewKey, create_key, create_user, find_user
from app.quotas.administration import set_limit
from app.quotas.limits import Scope, parse_limit
from app.settings import Settings

app = command()

_USER = "dev"
_LIMITS = ("images:200/day", "usd:10/day", "concurrent:8")
_SANDBOX_KEY = "sk-ai-v1-sandbox"


@app.command()
def dev(context: typer.Context, host: Host = None, port: Port = None) -> None:
    """Try the gateway out: it makes a key and prints examples to paste. Without ZENMUX_API_KEY nothing is bought."""
    terminal = Terminal.of(context)
    settings = read_settings(terminal.config_file, log_format="text", **chosen(host=host, port=port))
    for advice in judge_key(settings.zenmux_api_key):
        if advice.serious and settings.zenmux_api_key is not None:
            raise CommandError(advice.message)
    listener = serving.listen(settings.host, settings.port, "GATEWAY_PORT")
    with listener, _upstream(settings) as overrides:
        settings = settings.model_copy(update=overrides)
        with prepared(settings):
            key = _key(settings, change_by(context), terminal)
            url = f"{serving.base_url(listener)}/v1"
            code = run_gateway(settings, listener, lambda: _greet(settings, url, key))
    raise typer.Exit(code)


@contextmanager
def _upstream(settings: Settings) -> Iterator[dict[str, Any]]:
    """The settings that lead to ZenMux: none where there is a key, else those of a sandbox that runs meanwhile."""
    if settings.zenmux_api_key is not None:
        yield {}
        return
    from pydantic import SecretStr  # noqa: PLC0415

    from app.sandbox.server import SandboxServer  # noqa: PLC0415 - Pillow is slow to load

    with SandboxServer() as sandbox:
        yield {"zenmux_api_key": SecretStr(_SANDBOX_KEY), "zenmux_base_url": sandbox.url, "sandbox": True}


def _key(settings: Settings, change: Change, terminal: Terminal) -> str:
    """The key of user `dev`: the one of last time while it still opens, else a new one, kept in the data folder."""
    file = settings.data_dir / DEV_KEY_FILE
    with opened(settings) as engine, writing(engine) as connection:
        kept = file.read_text().strip() if file.is_file() else ""
        presented = parse(kept)
        credential = read_credential(connection, presented) if presented else None
        if credential is not None and credential.refusal(change.now) is None:
            return kept
        user = find_user(connection, _USER) or create_user(connection, _USER, change=change)
        minted = mint(terminal.random_bytes(PUBLIC_ID_BYTES), terminal.random_bytes(SECRET_BYTES))
        create_key(connection, NewKey(user.id, "dev"), minted, change=change)
        for limit in _LIMITS:
            set_limit(connection, parse_limit(limit).on(Scope.KEY, minted.id), change=change)
        _keep(file, minted.text.get_secret_value())
        return minted.text.get_secret_value()


def _keep(file: Path, text: str) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as kept:
        kept.write(text + "\n")


def _greet(settings: Settings, url: str, key: str) -> None:
    root = url.removesuffix("/v1")
    if settings.sandbox:
        origin = settings.zenmux_base_url.removesuffix("/api/v1")
        say(
            "\n  *** SANDBOX: there is no ZENMUX_API_KEY, so pictures are drawn here and nothing is bought. ***\n"
            f"  *** Its bill: {origin}/sandbox/bill ***"
        )
    else:
        say("\n  *** Pictures are bought from ZenMux with your ZENMUX_API_KEY. ***")
    show(
        f"\nThe gateway answers at {url} (docs: {root}/docs, metrics: {root}/metrics)\n"
        f"Your key: {key}\n  with the limits {', '.join(_LIMITS)}; see what is left: {root}/v1/usage\n\n"
        f"Paste this for a picture:\n\n{curl_snippet(url, key)}\n\n"
        f"Or in Python:\n\n{python_snippet(url, key)}\n\n"
        f"Ctrl-C stops it. The real thing: ZENMUX_API_KEY=… {PROGRAM} serve\n"
    )
