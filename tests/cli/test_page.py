"""docs/cli.md and the help texts, held to the commands: each is shown, its options are listed as the
commands have them, and every example parses."""

import re
import shlex
from collections.abc import Iterator

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from app.cli.main import app
from app.cli.terminal import root
from app.cli.terminal.output import Terminal
from tests.cli import reference

WRITTEN, MADE = reference.parts(reference.PAGE.read_text(encoding="utf-8"))
COMMANDS = dict(reference.commands())


def examples(text: str) -> Iterator[list[str]]:
    """The words after `zenmux-gateway` of each example."""
    for line in re.findall(r"(?m)^.*?zenmux-gateway (.+)$", text):
        yield shlex.split(re.split(r" # | \|| > |\)$|\s{3,}", line)[0], comments=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_shows_every_command(name: str) -> None:
    assert f"zenmux-gateway {name}" in WRITTEN


def test_the_list_of_options_is_what_the_commands_say() -> None:
    assert reference.render() == MADE, "run `python -m tests.cli.reference`"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_with_an_example_of_itself(name: str) -> None:
    text = COMMANDS[name].help
    assert re.search(rf"zenmux-gateway (?:--config \S+ )?{name}\b", text), name
    for words in examples(text):
        assert " ".join(words).removeprefix("--config gateway.env ").startswith((name, *COMMANDS)), words


def all_examples() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", WRITTEN, re.DOTALL)
    helps = [command.help for command in COMMANDS.values()]
    return [words for text in (*blocks, *helps) for words in examples(text)]


@pytest.mark.parametrize("words", all_examples(), ids=" ".join)
def test_every_example_parses(words: list[str]) -> None:
    """As far as its own command, which is not run."""
    context = get_command(app).make_context("zenmux-gateway", [], obj=Terminal(), resilient_parsing=True)
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] in ("--config", "--actor") else words[1:]
    if not words:
        return
    command = root.load(words[0])
    rest = words[1:]
    if isinstance(command, TyperGroup) and not rest[0].startswith("-"):
        command, rest = command.commands[rest[0]], rest[1:]  # type: ignore[assignment]
    if "--help" not in rest:
        command.make_context("x", list(rest), parent=context)
