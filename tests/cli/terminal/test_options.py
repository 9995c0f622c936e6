"""What every command shares: listings print JSON and nothing else, homes have no options of their own."""

import json

import pytest
from typer.core import TyperGroup

from app.cli.terminal import options, root
from tests.cli.conftest import Cli

LISTINGS = [
    ("keys", "list"),
    ("users", "list"),
    ("teams", "list"),
    ("limits", "list"),
    ("usage", "report"),
    ("catalog", "show"),
    ("config", "show"),
]


@pytest.mark.parametrize("listing", LISTINGS)
def test_a_listing_is_a_json_array_and_nothing_else(cli: Cli, listing: tuple[str, ...]) -> None:
    cli("db", "upgrade")
    result = cli(*listing, "--json")
    assert isinstance(json.loads(result.stdout), list)
    assert result.stderr == ""


def test_every_command_that_lists_or_shows_takes_json() -> None:
    for name in root.command_names():
        group = root.load(name)
        for command in group.commands.values() if isinstance(group, TyperGroup) else ():
            if command.name in ("list", "show", "report", "audit", "explain", "check", "create", "rotate", "expire"):
                assert "--json" in [option for param in command.params for option in param.opts], (name, command.name)


def test_a_home_has_only_its_commands_options() -> None:
    for home in (options.command(), options.commands("Does things.")):
        assert home._add_completion is False
        assert home.pretty_exceptions_enable is False
