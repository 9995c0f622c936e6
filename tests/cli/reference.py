"""The last part of docs/cli.md, made out of the commands themselves: `python -m tests.cli.reference` writes it anew."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer import Context
from typer.core import TyperGroup
from typer.main import get_command

from app.cli.main import app
from app.cli.terminal import root

PAGE = Path(__file__).parents[2] / "docs/cli.md"
_HEAD = """## Every command and option

Made out of the commands by `python -m tests.cli.reference`; `--help` after a command says the same.
"""


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its whole name, such as `keys create`."""
    for name in root.command_names():
        found = root.load(name)
        if isinstance(found, TyperGroup):
            yield from ((f"{name} {sub}", command) for sub, command in found.commands.items())
        else:
            yield name, found


def parts(page: str) -> tuple[str, str]:
    """What people wrote, and what is made."""
    written, _, made = page.partition(_HEAD)
    return written, _HEAD + made


def render() -> str:
    """The part that is made."""
    sections = [_section("", get_command(app), "Before the command:")]
    sections += [_section(f" {name}", command, _summary(command)) for name, command in commands()]
    return _HEAD + "".join(sections)


def _section(name: str, command: Any, summary: str) -> str:
    context = Context(command, info_name=f"zenmux-gateway{name}")
    pieces = command.collect_usage_pieces(context)
    lines = [_line(*record) for record in (each.get_help_record(context) for each in command.params) if record]
    usage = " ".join((f"zenmux-gateway{name}", *pieces))  # as --help shows it
    return f"\n#### `{usage}`\n\n{summary}\n" + ("\n" if lines else "") + "".join(lines)


def _summary(command: Any) -> str:
    """The first paragraphs of its help, without the examples."""
    text = inspect.cleandoc(command.help).split("\b")[0]
    return "\n".join(line.strip() for line in text.strip().splitlines())


def _line(names: str, text: str) -> str:
    told = re.sub(r"\s+", " ", text).strip()
    return f"- `{names.removesuffix(' <str>')}`" + (f": {told}\n" if told else "\n")


def main() -> None:
    written, _ = parts(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(f"{written.rstrip()}\n\n{render()}", encoding="utf-8")


if __name__ == "__main__":
    main()
