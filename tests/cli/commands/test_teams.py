"""`teams`."""

from tests.cli.conftest import Cli


def test_make_fill_list_and_empty_a_team(cli: Cli) -> None:
    cli("db", "upgrade")
    assert "teams create NAME" in cli("teams", "list").stderr
    assert cli.json("teams", "create", "design")["users"] == []
    for name in ("alice", "bob"):
        cli("users", "create", name)
    assert cli.json("teams", "add", "design", "alice", "bob")["users"] == ["alice", "bob"]
    cli("limits", "set", "--team", "design", "usd:300/month")
    [team] = cli.json("teams", "list")
    assert (team["name"], team["users"], team["limits"]) == ("design", ["alice", "bob"], ["usd:300.00/month"])
    assert cli("teams", "list").stdout.splitlines()[2].split() == ["design", "alice,", "bob", "usd:300.00/month"]
    assert "--yes" in cli("teams", "remove", "design", "alice", code=2).stderr
    cli("teams", "remove", "design", "alice", "--yes")
    assert cli.json("teams", "list")[0]["users"] == ["bob"]


def test_all_are_added_or_none(cli: Cli) -> None:
    cli("teams", "create", "design")
    cli("users", "create", "alice")
    assert "no user 'bob'" in cli("teams", "add", "design", "alice", "bob", code=1).stderr
    assert cli.json("teams", "list")[0]["users"] == []


def test_all_are_removed_or_none(cli: Cli) -> None:
    cli("teams", "create", "design")
    cli("users", "create", "alice", "--team", "design")
    cli("users", "create", "bob")
    assert "bob is not in the team design" in cli("teams", "remove", "design", "alice", "bob", "--yes", code=1).stderr
    assert cli.json("teams", "list")[0]["users"] == ["alice"]


def test_a_team_is_made_once(cli: Cli) -> None:
    cli("teams", "create", "design")
    assert "There is a team design already." in cli("teams", "create", "design", code=1).stderr
