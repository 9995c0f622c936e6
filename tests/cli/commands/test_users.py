"""`users`."""

from tests.cli.conftest import Cli


def test_create_with_team_limits_and_the_defaults(cli: Cli) -> None:
    cli("teams", "create", "design")
    cli("limits", "set", "--default", "images:5/day", "concurrent:2")
    made = cli.json("users", "create", "alice", "--team", "design", "--limit", "images:50/day")
    assert made == {
        "id": made["id"],
        "name": "alice",
        "team": "design",
        "team_id": made["team_id"],
        "role": "member",
        "state": "active",
        "keys": [],
        "limits": ["images:50/day", "concurrent:2"],
        "created_at": "2026-11-24T09:30:00Z",
        "disabled_at": None,
    }
    assert "There is a user alice already." in cli("users", "create", "alice", code=1).stderr
    told = cli("users", "create", "bob").stderr
    assert "limited to images:5/day, concurrent:2" in told
    assert "keys create --user bob" in told


def test_an_unknown_team_makes_no_user(cli: Cli) -> None:
    assert "no team 'design'" in cli("users", "create", "alice", "--team", "design", code=1).stderr
    assert cli.json("users", "list") == []
    assert "zenmux-gateway keys create" in cli("users", "list").stderr


def test_list_and_show(cli: Cli) -> None:
    key = cli.json("keys", "create", "--user", "alice")["id"]
    cli("users", "create", "bob")
    users = cli.json("users", "list")
    assert [(user["name"], user["keys"]) for user in users] == [("alice", [key]), ("bob", [])]
    assert cli.json("users", "show", users[0]["id"]) == users[0]
    assert cli("users", "list").stdout.splitlines()[2].split()[:3] == ["alice", "active", "1"]
    assert key in cli("users", "show", "alice").stdout
    assert "Did you mean alice?" in cli("users", "show", "alicia", code=1).stderr


def test_disable_asks_and_enable_undoes_it(cli: Cli) -> None:
    cli("users", "create", "alice")
    assert "All their keys stop working." in cli("users", "disable", "alice", code=2).stderr
    cli("users", "disable", "alice", "--yes")
    assert cli.json("users", "show", "alice")["state"] == "disabled"
    cli("users", "enable", "alice")
    assert cli.json("users", "show", "alice")["state"] == "active"


def test_a_user_moves_between_teams(cli: Cli) -> None:
    cli("teams", "create", "design")
    cli("users", "create", "alice")
    assert "in the team design" in cli("users", "set-team", "alice", "design").stderr
    assert cli.json("users", "show", "alice")["team"] == "design"
    assert "in no team" in cli("users", "set-team", "alice").stderr
    assert cli.json("users", "show", "alice")["team"] is None


def test_a_person_of_an_identity_provider_is_linked_and_unlinked(cli: Cli) -> None:
    cli("users", "create", "alice")
    who = ("--issuer", "https://id.example.com", "--subject", "sub-1")
    assert "signs in as alice from now on" in cli("users", "link", "alice", *who).stderr
    assert "signs in as alice already" in cli("users", "link", "alice", *who, code=1).stderr
    assert "1 person" in cli("users", "unlink", "alice").stderr
    assert "0 persons" in cli("users", "unlink", "alice").stderr
    assert "no user 'bob'" in cli("users", "link", "bob", *who, code=1).stderr
    assert [line["action"] for line in cli.json("changes", "list")][:2] == ["identity.remove", "identity.add"]
