"""The root command: finds commands, imports only the one that is called, and turns failures into one clear line."""

import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from app.cli.terminal.output import say
from app.errors import GatewayError, StoreUnavailable
from app.server.loading import loading

_START = "Start"
_PEOPLE = "People and keys"
_MONEY = "Limits and money"
_CARE = "Care"


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a command is below app/cli, and its line in the overview, known without importing it."""

    module: str
    help: str
    section: str


_COMMANDS = {
    "dev": _Entry("commands.dev", "Try it out: gateway, pretend ZenMux, key, ready-to-paste examples.", _START),
    "serve": _Entry("commands.serve", "Run the gateway.", _START),
    "sandbox": _Entry("commands.sandbox", "Run the pretend ZenMux alone.", _START),
    "keys": _Entry("commands.keys", "Make, list, rotate and disable keys.", _PEOPLE),
    "users": _Entry("commands.users", "Make, list and disable users.", _PEOPLE),
    "teams": _Entry("commands.teams", "Make teams and put users into them.", _PEOPLE),
    "console": _Entry("commands.console", "Make a link that signs somebody in to the console.", _PEOPLE),
    "limits": _Entry("commands.limits", "Set, list, remove and explain limits.", _MONEY),
    "usage": _Entry("commands.usage", "Report who used what, and what it cost.", _MONEY),
    "ledger": _Entry("commands.ledger", "Prove that every request is accounted for.", _MONEY),
    "accounts": _Entry("commands.accounts", "List the ZenMux accounts, take one out or in.", _CARE),
    "catalog": _Entry("commands.catalog", "Show models, their rules and prices; check a catalog file.", _CARE),
    "config": _Entry("commands.config", "Check and show the settings.", _CARE),
    "files": _Entry("commands.files", "Replace the secret of links to images.", _CARE),
    "apply": _Entry("commands.apply", "Make teams, users, keys and limits be as a file says.", _CARE),
    "export": _Entry("commands.export", "Print today's set-up as such a file.", _CARE),
    "import": _Entry("commands.importing", "Make such a file out of a LiteLLM proxy.", _CARE),
    "db": _Entry("commands.database", "Bring the database to the newest schema.", _CARE),
    "changes": _Entry("commands.changes", "Show who changed keys, users, teams and limits.", _CARE),
    "version": _Entry("commands.version", "Print the version.", _CARE),
}


class Root(TyperGroup):
    """Imports a command when it is called: `--help` shows all commands and imports none."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - handed on as they are
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=entry.help) for name, entry in _COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 - Typer's types are private
        name, found, rest = super().resolve_command(ctx, args)
        return name, found and load(str(name)), rest

    def format_commands(self, ctx: object, formatter: Any) -> None:  # noqa: ANN401, ARG002 - Typer's types are private
        for section in dict.fromkeys(entry.section for entry in _COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl([(n, entry.help) for n, entry in _COMMANDS.items() if entry.section == section])

    def main(self, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - Typer's signature
        """Runs the command line. A known failure becomes one line on stderr and an exit code, never a traceback."""
        if not named.get("standalone_mode", True):
            return super().main(*args, **named)
        try:
            code = super().main(*args, **{**named, "standalone_mode": False})
        except typer.Abort:
            code = 1
        except Exception as error:
            explained = explain(error)
            if explained is None:
                raise
            message, code = explained
            if message:
                say(message)
        sys.exit(code)


def command_names() -> list[str]:
    """Every command of the root, in the order of the overview."""
    return list(_COMMANDS)


def load(name: str) -> TyperCommand | TyperGroup:
    """Imports the command `name` of the list above."""
    with loading():
        module = import_module(f"app.cli.{_COMMANDS[name].module}")
    command = typer.main.get_command(module.app)
    command.name = name
    return command  # type: ignore[return-value]  # Typer makes one of the two, and does not say so


def explain(error: Exception) -> tuple[str, int] | None:
    """The message and the exit code for a failure; None for what must be a bug."""
    match error:
        case typer.TyperException():
            return _explain_use(error), error.exit_code
        case StoreUnavailable():
            return f"Error: {error.message}{_reason(error)}", 1
        case GatewayError():
            return f"Error: {error.message}", 1
        case OSError() if error.strerror:
            return f"Error: {error.filename or ''}{': ' if error.filename else ''}{error.strerror}", 1
        case _:
            return None


def _explain_use(error: typer.TyperException) -> str:
    message, context = error.format_message(), getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":  # a bare `zenmux-gateway keys`: the message is the help
        return message
    hint = f"\nTry: {context.command_path} --help" if context else ""
    return f"Error: {message}{hint}"


def _reason(error: StoreUnavailable) -> str:
    """The first line of the driver's own message. Callers never see it, but a person at the terminal needs it. It
    contains no password.
    """
    driver_error = getattr(error.__cause__, "orig", None)
    lines = str(driver_error or "").strip().splitlines()
    return f" ({lines[0]})" if lines else ""
