"""Options that several commands share, written once."""

from typing import Annotated, Any

import typer

_PLAIN: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}

Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def commands(help_text: str) -> typer.Typer:
    """An empty group of commands, such as `keys`."""
    return typer.Typer(help=help_text, no_args_is_help=True, **_PLAIN)


def command() -> typer.Typer:
    """The group for one command without sub-commands, such as `serve`."""
    return typer.Typer(**_PLAIN)
