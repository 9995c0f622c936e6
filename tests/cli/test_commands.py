"""The commands, run as a team lead types them, on a real database; as real processes where the shell sees a difference:
the two outputs, the exit code, the environment."""

import csv
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.forking import run_command

ROOT = Path(__file__).parents[2]


class Shell:
    """Runs `zenmux-gateway …` in a data folder of the test's own."""

    def __init__(self, data_dir: Path) -> None:
        self._environment = {"PATH": os.environ["PATH"], "GATEWAY_DATA_DIR": str(data_dir), "NO_COLOR": "1"}

    def run(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = run_command(arguments, {**self._environment, **environment})
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str, code: int = 0, **environment: str) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code, **environment).stdout)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "data")


def test_a_first_key_makes_its_user_and_is_shown_once(shell: Shell) -> None:
    made = shell.json(
        *("keys", "create", "--user", "alice", "--limit", "images:100/day", "--limit", "usd:5/month"),
        *("--model", "gpt-image-2", "--expires", "30d", "--name", "laptop"),
    )
    assert made["key"].startswith(f"sk-zg-{made['id']}-")
    assert made["limits"] == ["images:100/day", "usd:5.00/month"]
    assert made["models"] == ["openai/gpt-image-2"]
    [listed] = shell.json("keys", "list", "--user", "alice")
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert made["key"] not in shell.run("keys", "show", made["id"]).stdout


def test_the_key_alone_is_on_stdout(shell: Shell) -> None:
    done = shell.run("keys", "create", "--user", "alice")
    assert done.stdout.startswith("sk-zg-")
    assert len(done.stdout.split()) == 1
    assert "no copy" in done.stderr


def test_keys_are_disabled_enabled_and_rotated(cli: Cli) -> None:
    made = cli.json("keys", "create", "--user", "alice")
    assert "--yes" in cli("keys", "disable", made["id"], code=2).stderr
    cli("keys", "disable", made["id"], "--yes")
    assert cli.json("keys", "show", made["id"])["disabled_at"] is not None
    cli("keys", "enable", made["id"])
    rotated = cli.json("keys", "rotate", made["id"], "--overlap", "7d")
    assert rotated["id"] == made["id"]
    assert rotated["key"] != made["key"]


def test_users_and_teams(cli: Cli) -> None:
    cli("limits", "set", "images:5/day", "--default")
    cli("teams", "create", "design")
    cli("users", "create", "bob", "--team", "design")
    [bob] = cli.json("users", "list")
    assert (bob["name"], bob["team"], bob["limits"]) == ("bob", "design", ["images:5/day"])
    cli("users", "set-team", "bob")
    assert cli.json("users", "show", "bob")["team"] is None
    cli("teams", "add", "design", "bob")
    assert cli.json("teams", "list")[0]["users"] == ["bob"]
    cli("users", "disable", "bob", "--yes")
    assert cli.json("users", "list")[0]["disabled_at"] is not None
    cli("users", "enable", "bob")
    assert "bob" in cli("users", "list").stdout


def test_limits_are_set_explained_and_removed(cli: Cli) -> None:
    key = cli.json("keys", "create", "--user", "alice")["id"]
    cli("limits", "set", "images:20/day@gpt-image-2", "--key", key)
    cli("limits", "set", "usd:5/month", "--user", "alice")
    cli("limits", "set", "usd:500/month", "--gateway", "--shadow")
    explained = cli.json("limits", "explain", "--key", key)
    assert [(limit["limit"], limit["scope"], limit["shadow"]) for limit in explained] == [
        ("images:20/day@openai/gpt-image-2", "key", False),
        ("usd:5.00/month", "user", False),
        ("usd:500.00/month", "gateway", True),
    ]
    assert len(cli.json("limits", "list")) == 3
    cli("limits", "remove", "usd:1/month", "--user", "alice", "--yes")
    assert len(cli.json("limits", "list")) == 2
    assert "images:20/day" in cli("limits", "list").stdout
    assert "images:20/day" in cli("limits", "explain", "--key", key).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("limits", "set", "images:20/day"), 2, "--key"),
        (("limits", "set", "images:20", "--gateway"), 2, "images:20"),
        (("limits", "set", "pixels:20/day", "--gateway"), 2, "pixels"),
        (("keys", "create", "--user", "a", "--expires", "yesterday"), 2, "--expires"),
        (("keys", "create", "--user", "a", "--model", "gpt-image-99"), 2, "gpt-image-99"),
        (("keys", "create"), 2, "--user"),
        (("keys", "list", "--user", "nobody"), 1, "nobody"),
        (("nonsense",), 2, "nonsense"),
        (("serve",), 1, "ZENMUX_API_KEY"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    cli: Cli, shell: Shell, arguments: tuple[str, ...], code: int, told: str
) -> None:
    cli("db", "upgrade")
    assert told in shell.run(*arguments, code=code).stderr


def test_reports_and_audit_of_an_empty_ledger(cli: Cli) -> None:
    cli("keys", "create", "--user", "alice")
    assert cli.json("usage", "report", "--by", "model", "--since", "30d") == []
    header, *rows = csv.reader(cli("usage", "report", "--csv").stdout.splitlines())
    assert header[0] == "user"
    assert rows == []
    assert cli.json("ledger", "audit")["clean"] is True
    assert cli.json("ledger", "expire") == {"expired": []}
    assert "The ledger is right." in cli("ledger", "audit").stderr
    assert "No bill" in cli("ledger", "audit", "--against-bill", "http://127.0.0.1:9/x", code=1).stderr


def test_the_catalog_is_shown_and_a_file_checked(cli: Cli, tmp_path: Path) -> None:
    names = [model["name"] for model in cli.json("catalog", "show")]
    assert "gpt-image-2" in names
    assert cli.json("catalog", "show", "gpt-image-2")["picture_1024x1024"]["low"]["usd"] == "0.00588"
    assert "gpt-image-2" in cli("catalog", "show").stdout
    assert "openai/gpt-image-2" in cli("catalog", "show", "gpt-image-2").stdout
    wrong = tmp_path / "models.toml"
    wrong.write_text("[models\n")
    assert "line 1" in cli("catalog", "check", str(wrong), code=1).stderr
    wrong.write_text("")
    assert "is right" in cli("catalog", "check", str(wrong)).stdout


def test_settings_are_checked_and_shown_without_secrets(shell: Shell) -> None:
    secret = "sk-ai-v1-very-secret"
    assert shell.json("config", "check", ZENMUX_API_KEY=secret)["ok"] is True
    assert shell.json("config", "check", code=1)["ok"] is False
    assert "management" in shell.run("config", "check", code=1, ZENMUX_API_KEY="sk-mg-v1-x").stdout
    shown = shell.run("config", "show", ZENMUX_API_KEY=secret).stdout
    assert secret not in shown
    assert "GATEWAY_PORT" in shown
    port = next(each for each in shell.json("config", "show", GATEWAY_PORT="9000") if each["name"] == "GATEWAY_PORT")
    assert (port["value"], port["origin"]) == ("9000", "environment")
    assert "GATEWAY_PORT" in shell.run("config", "show", code=1, GATEWAY_PORT="many").stderr


def test_help_names_every_command(shell: Shell) -> None:
    told = shell.run("--help").stdout
    for command in (
        "dev",
        "serve",
        "sandbox",
        "keys",
        "users",
        "teams",
        "limits",
        "usage",
        "ledger",
        "catalog",
        "config",
    ):
        assert command in told
    assert shell.run("version").stdout.strip()
