"""What every command shares: who runs it and when, how it prints, how it asks. Imports nothing slow.

Results go to stdout, all other messages to stderr: `key=$(zenmux-gateway keys create …)` works.
"""

import getpass
import json
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

import typer

from app.cli.terminal.parsing import printable
from app.errors import InvalidValue

T = TypeVar("T")

PROGRAM = "zenmux-gateway"
_WIDTH_UNBOUNDED = 4096  # a table in a pipe or file is never folded


def utc_now() -> datetime:
    """Now, by the machine's clock."""
    return datetime.fromtimestamp(time.time(), UTC)


def _actor() -> str:
    """The person at the terminal, as the list of changes shows them: the name of the system's user."""
    try:
        return f"cli:{printable(getpass.getuser())[:100]}"
    except (OSError, KeyError):  # a container's numeric user has no name
        return "cli"


@dataclass(frozen=True, slots=True)
class Terminal:
    """The surroundings of a command: the configuration file, the clock, random values, and who is asking."""

    config_file: Path | None = None
    clock: Callable[[], datetime] = utc_now
    random_bytes: Callable[[int], bytes] = secrets.token_bytes
    actor: str = ""

    @classmethod
    def of(cls, context: typer.Context) -> "Terminal":
        """The terminal the root command put into the context."""
        assert isinstance(context.obj, cls)
        return context.obj

    @property
    def who(self) -> str:
        return self.actor or _actor()

    def known_as(self, name: str) -> "Terminal":
        """The same for a person who gives a name; the name of the system's user comes first."""
        return replace(self, actor=f"{self.who} ({printable(name.strip())[:60]})")


class WrongUse(typer.TyperException):
    """The command line makes no sense: exit code 2."""

    exit_code = 2


def read(name: str, parse: Callable[[], T]) -> T:
    """What `parse` returns for the option or argument `name`. If it refuses, raises WrongUse that names the option."""
    try:
        return parse()
    except (ValueError, InvalidValue) as error:
        raise WrongUse(f"{name}: {error}") from error


def read_as_written(parse: Callable[[], T]) -> T:
    """The same for texts that the refusal quotes itself, such as limits."""
    try:
        return parse()
    except InvalidValue as error:
        raise WrongUse(error.message) from None


def say(text: str) -> None:
    """Prints one message to stderr, beside the result."""
    typer.echo(text, err=True)


def show(text: str) -> None:
    """Prints a part of the result to stdout, never folded or coloured: it may be pasted."""
    typer.echo(text)


def show_lines(values: Mapping[str, str]) -> None:
    """Prints the result as one name and value per line; empty values are left out."""
    width = max(map(len, values)) + 2
    for name, value in values.items():
        if value:
            show(f"{name:<{width}}{printable(value)}")


def show_json(value: object) -> None:
    """Prints the whole result as JSON to stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_json_rows(rows: Iterable[object]) -> None:
    """Prints the whole result as a JSON array to stdout, like `show_json`, but with one row in memory at a time."""
    between = "["
    for row in rows:
        written = json.dumps(row, indent=2, ensure_ascii=False)
        typer.echo(f"{between}\n{written}".replace("\n", "\n  "), nl=False)
        between = ","
    typer.echo("[]" if between == "[" else "\n]")


def show_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = (), on_stderr: bool = False
) -> None:
    """Prints the result as a table, or what stands beside it; the columns named in `right` contain numbers."""
    from rich import box  # noqa: PLC0415 - a tenth of a second that JSON answers need not wait for
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        # The column that names a row is copied into the next command, so it is never cut in two.
        keeps_whole = column == columns[0]
        justify: Literal["left", "right"] = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=keeps_whole)
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    file = sys.stderr if on_stderr else sys.stdout
    width = None if file.isatty() else _WIDTH_UNBOUNDED
    Console(file=file, markup=False, emoji=False, highlight=False, width=width).print(table)


def confirm(question: str, *, yes: bool) -> None:
    """Asks before a change that cannot be undone. Exits with 1 on a no, with 2 if nobody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise WrongUse(f"{question} There is no terminal to answer at: add --yes to go ahead.")
    if not typer.confirm(question, err=True):
        say("Nothing was changed.")
        raise typer.Exit(1)
