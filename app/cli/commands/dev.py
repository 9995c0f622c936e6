"""`dev`: a gateway to try out, with a key and examples to paste; without a ZenMux key, the sandbox plays ZenMux."""

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
from pydantic import SecretStr

from app import __version__
from app.admin.access.sign_in import create_link
from app.admin.keys import WantedKey, create_key, key_opens
from app.admin.texts.snippets import curl_snippet, python_snippet
from app.admin.users import list_users
from app.cli.commands.serve import DEV_KEY_FILE, Host, Port, chosen, make_gateway, prepared, run_gateway
from app.cli.terminal.options import command
from app.cli.terminal.output import PROGRAM, Terminal, say, show
from app.cli.terminal.session import operating
from app.cli.terminal.settings_view import judge_keys, read_settings
from app.configuration.reading import check
from app.errors import ConfigurationError, Conflict
from app.quotas.rules.limits import parse_limit
from app.server import serving
from app.settings.settings import Settings
from app.setup.catalog import catalog_of
from app.setup.reading import bootstrap_of

app = command()

_USER = "dev"
_LIMITS = ("images:200/day", "usd:10/day", "concurrent:8")
_SANDBOX_KEY = "sk-ai-v1-sandbox"

_logger = logging.getLogger("gateway")


@app.command()
def dev(context: typer.Context, host: Host = None, port: Port = None) -> None:
    """Try the gateway: it makes a key and prints examples to paste. Without ZENMUX_API_KEY nothing is bought.

    \b
    zenmux-gateway dev
    zenmux-gateway dev --port 8123
    """
    terminal = Terminal.of(context)
    # A trial must not change a database that others use, and needs only one process.
    settings = read_settings(
        terminal.config_file, database_url=None, workers=1, console=True, **chosen(host=host, port=port)
    )
    if "log_format" not in settings.model_fields_set:
        settings = settings.model_copy(update={"log_format": "text"})
    for advice in judge_keys(settings) if settings.accounts else ():
        if advice.serious:
            raise ConfigurationError(advice.message)
        say(f"Mind: {advice.message}")
    serving.start_logging(settings)
    listener = serving.listen(settings.host, settings.port, "GATEWAY_PORT or --port")
    with listener, _upstream(settings) as (settings, bill_url):
        checked = check(settings)
        gateway = make_gateway(checked.configuration)
        with prepared(checked):
            key = _key(settings, terminal)
            with operating(terminal, settings.database) as operator:
                link = create_link(operator, _USER, "admin", is_direct=True).get_secret_value()
            greeting = Greeting(serving.base_url(listener), key, bill_url, _called(), link)
            code = run_gateway(gateway, settings, listener, lambda _: show(greeting.text()))
    raise typer.Exit(code)


@dataclass(frozen=True, slots=True)
class Greeting:
    """What is printed when everything answers. `bill_url` None: the real ZenMux is used."""

    root: str
    key: str
    bill_url: str | None
    program: str
    link_token: str

    def text(self) -> str:
        url = f"{self.root}/v1"
        if self.bill_url is None:
            upstream = ["Images are BOUGHT from ZenMux with your ZENMUX_API_KEY."]
        else:
            upstream = [
                "SANDBOX: there is no ZENMUX_API_KEY, so a stand-in on this machine draws the images.",
                "Nothing is bought; every price and cost you see is pretended.",
            ]
        facts = [
            ("Base URL", url),
            ("Your key", self.key),
            ("Console", f"{self.root}/console/link/{self.link_token} (opens signed in, once, within ten minutes)"),
            ("Limits", f"{', '.join(_LIMITS)}; what is left: {url}/usage"),
            ("Metrics", f"{self.root}/metrics"),
            *([("Bill", f"{self.bill_url} (the sandbox's)")] if self.bill_url else []),
            ("API docs", f"{self.root}/docs"),
            ("More keys", f"{self.program} keys create --user alice --limit images:20/day"),
            ("Who used", f"{self.program} usage report"),
        ]
        frame = "*" * 92
        return "\n".join(
            [
                f"\n{frame}",
                *(f"* {line:<88} *" for line in upstream),
                f"{frame}\n",
                f"{PROGRAM} {__version__} is ready.\n",
                *(f"{what + ':':<11}{where}" for what, where in facts),
                f"\nAn image, from a second terminal:\n\n{curl_snippet(url, self.key)}\n",
                f"Or in Python:\n\n{python_snippet(url, self.key)}\n",
                "Ctrl-C stops it; the key stays the same next time. "
                f"With real images: ZENMUX_API_KEY=sk-ai-v1-... {self.program} serve\n",
            ]
        )


@contextmanager
def _upstream(settings: Settings) -> Iterator[tuple[Settings, str | None]]:
    """The settings for ZenMux: unchanged if there is a key, else those of a sandbox that runs meanwhile."""
    if settings.accounts:
        yield settings, None
        return
    from app.sandbox.options import SandboxOptions  # noqa: PLC0415 - Pillow is slow to load
    from app.sandbox.server import SandboxServer  # noqa: PLC0415 - and so is its server

    _logger.warning("SANDBOX: a stand-in plays ZenMux, nothing is bought")
    catalog = catalog_of(settings, bootstrap_of(settings))
    with SandboxServer(options=SandboxOptions(catalog=catalog)) as sandbox:
        leading = {"zenmux_api_key": SecretStr(_SANDBOX_KEY), "zenmux_base_url": sandbox.url, "sandbox": True}
        yield settings.model_copy(update=leading), sandbox.bill_url


def _key(settings: Settings, terminal: Terminal) -> str:
    """The key of user `dev`: the previous one while it still works, else a new one, kept in the data folder."""
    file = settings.data_dir / DEV_KEY_FILE
    kept = _read_kept(file)
    with operating(terminal, settings.database) as operator:
        if key_opens(operator, kept):
            return kept
        if any(user.user.name == _USER and user.state == "disabled" for user in list_users(operator)):
            raise Conflict(f"The user {_USER} is disabled, so no key of theirs works: {PROGRAM} users enable {_USER}")
        limits = [parse_limit(limit) for limit in _LIMITS]
        made = create_key(operator, WantedKey(_USER, "zenmux-gateway dev", limits=limits))
    text = made.text.get_secret_value()
    _keep(file, text)
    return text


def _read_kept(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def _keep(file: Path, text: str) -> None:
    """Written completely or not at all, and readable only by the owner: it is the only copy."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as kept:
        kept.write(f"{text}\n")
    fresh.replace(file)


def _called() -> str:
    """The command by which this program can be called from the folder it was started in: after `make run` it is not on
    PATH.
    """
    if shutil.which(PROGRAM):
        return PROGRAM
    script = Path(sys.argv[0]).absolute()
    if script.name != PROGRAM:
        return "python -m app"
    return str(script.relative_to(Path.cwd())) if script.is_relative_to(Path.cwd()) else str(script)
