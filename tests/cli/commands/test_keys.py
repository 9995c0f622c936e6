"""`keys`: made, shown once, found again by what people paste, rotated, disabled."""

import re
from datetime import timedelta

import pytest

from app.database.engine import opened, reading
from app.identity.keys.credentials import read_credential
from app.identity.keys.format import parse
from app.settings.settings import Settings
from tests.cli.conftest import Cli


def refusal(cli: Cli, key: str) -> str | None:
    """What the gateway would say to a caller with this key; None when it lets them in."""
    presented = parse(key)
    assert presented is not None
    with opened(Settings(_env_file=None, data_dir=cli.data_dir).database) as engine, reading(engine) as connection:
        credential = read_credential(connection, presented)
        assert credential is not None
        return credential.refusal(cli.now)


def test_create_makes_the_user_the_key_and_its_limits(cli: Cli) -> None:
    cli("limits", "set", "--default", "concurrent:4")
    made = cli.json(
        *("keys", "create", "--user", "alice", "--limit", "images:100/day", "--limit", "usd:5/month"),
        *("--model", "gpt-image-2", "--expires", "30d", "--name", "laptop"),
    )
    assert made == {
        "key": made["key"],
        "id": parse(made["key"]).id,  # type: ignore[union-attr]
        "name": "laptop",
        "user": "alice",
        "user_id": made["user_id"],
        "models": ["openai/gpt-image-2"],
        "limits": ["images:100/day", "usd:5.00/month"],
        "role": None,
        "created_at": "2026-11-24T09:30:00Z",
        "expires_at": "2026-12-24T09:30:00Z",
        "disabled_at": None,
    }
    assert refusal(cli, made["key"]) is None
    assert cli.json("users", "show", "alice")["limits"] == ["concurrent:4"]


def test_the_key_alone_is_the_answer_and_is_said_to_be_shown_once(cli: Cli) -> None:
    result = cli("keys", "create", "--user", "alice", "--limit", "images:5/day")
    assert re.fullmatch(r"sk-zg-[0-9a-z]{12}-[0-9a-z]{40}\n", result.stdout)
    assert "Made the user alice." in result.stderr
    assert "limited to images:5/day" in result.stderr
    assert "only time it is shown" in result.stderr
    assert "http://127.0.0.1:8080/v1" in result.stderr
    assert result.stdout.strip() not in result.stderr
    assert result.stdout.strip() not in cli("keys", "list").output
    assert "Made the user" not in cli("keys", "create", "--user", "alice").stderr


def test_a_refused_option_leaves_nothing_behind(cli: Cli) -> None:
    cli("db", "upgrade")
    for option in (("--limit", "images:5"), ("--model", "x"), ("--expires", "yesterday"), ("--expires", "2026-11-01")):
        assert cli("keys", "create", "--user", "alice", *option, code=2).stdout == ""
    cli("keys", "create", "--user", " ", code=1)
    assert cli.json("users", "list") == []


def test_a_key_for_a_disabled_user_says_that_it_does_not_work(cli: Cli) -> None:
    cli("users", "create", "alice")
    cli("users", "disable", "alice", "--yes")
    assert "zenmux-gateway users enable alice" in cli("keys", "create", "--user", "alice").stderr


def test_list_shows_states(cli: Cli) -> None:
    ids = [cli.json("keys", "create", "--user", user)["id"] for user in ("alice", "bob")]
    expiring = cli.json("keys", "create", "--user", "alice", "--expires", "12h")["id"]
    cli("keys", "disable", ids[1], "--yes")
    cli.now += timedelta(days=1)
    rows = [line.split() for line in cli("keys", "list").stdout.splitlines()[2:]]
    assert {row[0]: row[2] for row in rows} == {ids[0]: "active", ids[1]: "disabled", expiring: "expired"}
    assert [key["id"] for key in cli.json("keys", "list", "--user", "bob")] == [ids[1]]
    assert "no user 'bbo'" in cli("keys", "list", "--user", "bbo", code=1).stderr


def test_an_empty_list_says_how_to_make_a_key(cli: Cli) -> None:
    cli("users", "create", "alice")
    assert "zenmux-gateway keys create --user NAME" in cli("keys", "list").stderr
    assert "zenmux-gateway keys create --user alice" in cli("keys", "list", "--user", "alice").stderr


def test_show_takes_the_whole_key_and_repeats_none_of_it(cli: Cli) -> None:
    made = cli.json("keys", "create", "--user", "alice", "--name", "laptop")
    shown = cli("keys", "show", made["key"]).output
    assert made["id"] in shown
    assert made["key"] not in shown
    assert "laptop" in shown
    assert cli.json("keys", "show", made["id"])["user"] == "alice"
    told = cli("keys", "show", made["key"].replace("sk-zg-", "sk-zg-0"), code=1).output
    assert "no key with this id" in told


def test_disable_asks_and_enable_undoes_it(cli: Cli) -> None:
    made = cli.json("keys", "create", "--user", "alice", "--name", "laptop")
    told = cli("keys", "disable", made["id"], code=2).stderr
    assert f"Disable the key {made['id']} (alice laptop)?" in told
    assert "--yes" in told
    assert refusal(cli, made["key"]) is None
    assert "within 2 seconds" in cli("keys", "disable", made["id"], "--yes").stderr
    assert "disabled" in str(refusal(cli, made["key"]))
    cli("keys", "enable", made["id"])
    assert refusal(cli, made["key"]) is None


def test_enabling_an_expired_key_says_that_it_does_not_help(cli: Cli) -> None:
    made = cli.json("keys", "create", "--user", "alice", "--expires", "1h")
    cli.now += timedelta(hours=2)
    assert "has expired" in cli("keys", "enable", made["id"]).stderr


def test_rotate_lets_the_old_text_work_for_the_overlap(cli: Cli) -> None:
    made = cli.json("keys", "create", "--user", "alice", "--limit", "images:5/day")
    new = cli.json("keys", "rotate", made["id"], "--overlap", "7d")
    assert (new["id"], new["limits"]) == (made["id"], ["images:5/day"])
    assert refusal(cli, made["key"]) is refusal(cli, new["key"]) is None
    cli.now += timedelta(days=7)
    assert "replaced" in str(refusal(cli, made["key"]))
    assert refusal(cli, new["key"]) is None


def test_rotate_without_overlap_asks_first(cli: Cli) -> None:
    made = cli.json("keys", "create", "--user", "alice")
    assert "at once?" in cli("keys", "rotate", made["id"], "--overlap", "0", code=2).stderr
    assert refusal(cli, made["key"]) is None
    result = cli("keys", "rotate", made["id"], "--overlap", "0", "--yes")
    assert "has ended" in result.stderr
    assert "replaced" in str(refusal(cli, made["key"]))
    assert refusal(cli, result.stdout.strip()) is None


@pytest.mark.parametrize("overlap", ["soon", "-1d", "500d"])
def test_an_overlap_that_makes_no_sense_is_refused(cli: Cli, overlap: str) -> None:
    made = cli.json("keys", "create", "--user", "alice")
    result = cli("keys", "rotate", made["id"], f"--overlap={overlap}", code=1 if overlap == "500d" else 2)
    assert "overlap" in result.stderr
