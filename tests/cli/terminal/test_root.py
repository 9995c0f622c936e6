"""The root command: an overview that loads nothing, failures in one line, exit codes."""

import subprocess
import sys

import pytest
import typer
from sqlalchemy.exc import OperationalError

from app.cli.terminal import root
from app.cli.terminal.output import WrongUse
from app.errors import InvalidValue, NotFound, StoreUnavailable
from tests.cli.conftest import Cli

SLOW = {
    "sqlalchemy",
    "alembic",
    "pydantic",
    "pydantic_settings",
    "fastapi",
    "uvicorn",
    "httpx2",
    "PIL",
    "rich",
}


def test_help_names_every_command_and_loads_none() -> None:
    program = (
        "import sys; sys.argv[1:] = ['--help']; from app.cli.main import app\ntry: app()\nfinally: print(*sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    *help_lines, modules = told.splitlines()
    for name in root.command_names():
        assert any(line.strip().startswith(name) for line in help_lines), name
    assert {module.split(".")[0] for module in modules.split()} & SLOW == set()
    assert not [
        module for module in modules.split() if module.startswith(("app.database", "app.quotas", "app.identity"))
    ]


@pytest.mark.parametrize("name", root.command_names())
def test_every_command_loads_under_its_name_and_helps(cli: Cli, name: str) -> None:
    assert root.load(name).name == name
    assert "--help" in cli(name, "--help").stdout


def test_a_group_without_a_command_shows_its_help(cli: Cli) -> None:
    assert "rotate" in cli("keys", code=2).stderr
    assert "Start:" in cli(code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["vesion"], "Error: No such command 'vesion'. Did you mean 'version'?\n"),
        (["keys", "lst"], "Error: No such command 'lst'. Did you mean 'list'?\n"),
        (["keys", "list", "--jsn"], "Error: No such option: --jsn"),
        (["keys", "create"], "Error: Missing option '--user'"),
        (["keys", "show"], "Error: Missing argument 'ID'"),
        (["serve", "--port", "many"], "Error: Invalid value for '--port'"),
    ],
)
def test_a_wrong_command_line_is_told_in_a_line_with_the_way_to_help(cli: Cli, arguments: list[str], told: str) -> None:
    result = cli(*arguments, code=2)
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert f"{first}\n".startswith(told)
    assert second.startswith("Try: ")
    assert second.endswith(" --help")


def test_known_failures_become_a_line_and_a_code() -> None:
    assert root.explain(WrongUse("--a and --b")) == ("Error: --a and --b", 2)
    assert root.explain(NotFound("no such key")) == ("Error: no such key", 1)
    assert root.explain(InvalidValue("no such unit")) == ("Error: no such unit", 1)
    assert root.explain(PermissionError(13, "Permission denied", "/data/x")) == ("Error: /data/x: Permission denied", 1)
    assert root.explain(typer.BadParameter("not a number")) == ("Error: Invalid value: not a number", 2)


def test_the_operator_is_told_why_the_store_does_not_answer() -> None:
    error = StoreUnavailable("The database is away.")
    error.__cause__ = OperationalError("SELECT 1", {}, Exception("connection refused\nIs it running?"))
    assert root.explain(error) == ("Error: The database is away. (connection refused)", 1)


def test_a_bug_is_not_hidden() -> None:
    assert root.explain(KeyError("x")) is None
    assert root.explain(ValueError("x")) is None
