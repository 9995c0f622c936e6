"""`changes list`: every administrative command leaves a line, and it can be found again."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from tests.cli.conftest import Cli


@pytest.fixture
def busy(cli: Cli) -> Cli:
    """A minute after each other: a team and a user are made, a limit is set, changed and removed."""
    for command in (
        "teams create design",
        "users create alice --team design",
        "limits set --user alice images:5/day",
        "--actor bob limits set --user alice images:9/day",
        "limits remove --user alice images/day --yes",
    ):
        cli(*command.split())
        cli.now += timedelta(minutes=1)
    return cli


def changes(cli: Cli, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cli.json("changes", "list", *options)
    return found


def test_every_administrative_command_leaves_a_line(cli: Cli) -> None:
    cli("limits", "set", "--default", "images:100/day")
    made = cli.json("keys", "create", "--user", "alice", "--limit", "images:5/day")
    for command in (
        "keys rotate ID --overlap 1h",
        "keys rotate ID --overlap 0 --yes",
        "keys disable ID --yes",
        "keys enable ID",
        "users create bob",
        "teams create design",
        "teams add design bob",
        "teams remove design bob --yes",
        "users set-team bob design",
        "users disable bob --yes",
        "users enable bob",
        "limits set --gateway usd:5/day",
        "limits remove --gateway usd/day --yes",
        "limits remove --default images/day --yes",
    ):
        before = len(changes(cli))
        cli(*command.replace("ID", made["id"]).split())
        assert len(changes(cli)) > before, command
    written = changes(cli)
    assert {change["action"] for change in written} == {
        *("key.create", "key.rotate", "key.change"),
        *("user.create", "user.change", "team.create", "limit.set", "limit.remove"),
    }
    assert {change["actor"] for change in written} == {"cli:test"}
    secret = made["key"].removeprefix(f"sk-zg-{made['id']}-")
    assert secret not in json.dumps(written)
    assert "sha256" not in json.dumps(written)


def test_the_newest_comes_first_with_what_was_before(busy: Cli) -> None:
    removed, changed, first, *_ = changes(busy)
    assert removed["action"] == "limit.remove"
    assert (removed["before"], removed["after"]) == (changed["after"], None)
    assert changed["before"] == first["after"] == {"limit": "images:5/day", "shadow": False}
    assert changed["after"] == {"limit": "images:9/day", "shadow": False}
    assert changed["at"] == "2026-11-24T09:33:00Z"
    assert first["before"] is None


def test_somebody_may_say_who_they_are_and_the_system_user_stays(busy: Cli) -> None:
    assert [change["actor"] for change in changes(busy, "--limit", "3")] == [
        "cli:test",
        "cli:test (bob)",
        "cli:test",
    ]
    busy.environment["GATEWAY_ACTOR"] = "carol\x1b[31m"
    busy("teams", "create", "sales")
    assert changes(busy)[0]["actor"] == "cli:test (carol\N{REPLACEMENT CHARACTER}[31m)"


@pytest.mark.parametrize(
    ("options", "actions"),
    [
        ("--limit 1", ["limit.remove"]),
        ("--actor bob", ["limit.set"]),
        ("--actor nobody", []),
        ("--target alice", ["limit.remove", "limit.set", "limit.set", "user.create"]),
        ("--target design", ["team.create"]),
        ("--target nothing", []),
        ("--since 2026-11-24T09:34:00Z", ["limit.remove"]),
        ("--since 2m", ["limit.remove", "limit.set"]),
        ("--until 2026-11-24T09:31:00Z", ["team.create"]),
        ("--until 2026-11-23", []),
    ],
)
def test_changes_are_found(busy: Cli, options: str, actions: list[str]) -> None:
    assert [change["action"] for change in changes(busy, *options.split())] == actions


def test_people_get_a_table(busy: Cli) -> None:
    shown = busy("changes", "list", "--limit", "2")
    assert re.search(r"2026-11-24 09:34 +cli:test +limit\.remove +user user_\w+ +limit=images:9/day", shown.stdout)
    assert "These are the newest 2" in shown.stderr
    assert "There is no such change." in busy("changes", "list", "--actor", "nobody").stderr
    assert "add --json" in busy("changes", "list", "--limit", "10001", code=2).stderr
    assert len(changes(busy, "--limit", "1000000")) == 5


def test_an_empty_answer_is_json_too(busy: Cli) -> None:
    assert busy("changes", "list", "--actor", "nobody", "--json").stdout == "[]\n"
