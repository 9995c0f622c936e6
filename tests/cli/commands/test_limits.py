"""`limits`: whose, which, how much is left; several at once, all or none."""

from datetime import timedelta

import pytest
from sqlalchemy import insert

from app.database.engine import opened, reading, writing
from app.database.schema import ledger_tables
from app.quotas.reports.limit_status import limit_status_of_key
from app.settings.settings import Settings
from tests.cli.commands.test_usage import reservation
from tests.cli.conftest import NOW, Cli
from tests.quotas.making import add_totals_up


@pytest.fixture
def key(cli: Cli) -> str:
    """A key of alice, who is in the team design."""
    made: str = cli.json("keys", "create", "--user", "alice")["id"]
    cli("teams", "create", "design")
    cli("teams", "add", "design", "alice")
    return made


def test_limits_of_every_scope_are_set_and_listed(cli: Cli, key: str) -> None:
    cli("limits", "set", "--key", key, "images:20/day@gpt-image-2")
    told = cli("limits", "set", "images:50/day", "usd:5/month", "--user", "alice").stderr
    assert told == "The limits of the user alice are now: images:50/day, usd:5.00/month.\n"
    cli("limits", "set", "--team", "design", "usd:300/month")
    cli("limits", "set", "--gateway", "usd:1000/month", "--shadow")
    cli("limits", "set", "--default", "concurrent:4")
    listed = cli.json("limits", "list")
    assert [(each["scope"], each["name"], each["limit"]) for each in listed] == [
        ("default", None, "concurrent:4"),
        ("gateway", None, "usd:1000.00/month"),
        ("key", f"{key} (alice)", "images:20/day@openai/gpt-image-2"),
        ("team", "design", "usd:300.00/month"),
        ("user", "alice", "images:50/day"),
        ("user", "alice", "usd:5.00/month"),
    ]
    assert listed[1] == {
        "id": listed[1]["id"],
        "limit": "usd:1000.00/month",
        "scope": "gateway",
        "scope_id": None,
        "name": None,
        "unit": "usd",
        "window": "month",
        "model": None,
        "shadow": True,
        "amount_usd": "1000.00",
        "amount_nanousd": 10**12,
        "raised_to": None,
        "raised_until": None,
    }
    assert [each["limit"] for each in cli.json("limits", "list", "--team", "design")] == ["usd:300.00/month"]
    assert len(cli("limits", "list").stdout.splitlines()) == 2 + len(listed)


def test_setting_again_changes_the_amount(cli: Cli, key: str) -> None:
    cli("limits", "set", "--user", "alice", "images:50/day", "--shadow")
    cli("limits", "set", "--user", "alice", "images:60/day")
    [limit] = cli.json("limits", "list")
    assert (limit["amount"], limit["shadow"]) == (60, False)


def test_a_shadow_limit_that_takes_the_place_of_a_real_one_is_told(cli: Cli, key: str) -> None:
    cli("limits", "set", "--user", "alice", "images:50/day", "usd:5/month")
    told = cli("limits", "set", "--user", "alice", "images:10/day", "images:9/day@gpt-image-2", "--shadow").stderr
    assert "images:50/day refuses nothing any more" in told
    assert told.count("refuses nothing") == 1
    assert "refuses nothing" not in cli("limits", "set", "--user", "alice", "images:8/day", "--shadow").stderr


def test_a_limit_is_removed_whatever_its_amount(cli: Cli, key: str) -> None:
    cli("limits", "set", "--user", "alice", "images:50/day", "usd:5/month", "concurrent:3", "images:5/day@gpt-image-2")
    assert (
        "Remove images/day of the user alice?"
        in cli("limits", "remove", "--user", "alice", "images/day", code=2).stderr
    )
    cli("limits", "remove", "--user", "alice", "images/day", "usd:1/month", "--yes")
    told = cli("limits", "remove", "--user", "alice", "concurrent", "images/day@gpt-image-2", "--yes").stderr
    assert told == "The limits of the user alice are now: none.\n"
    assert "no such limit" in cli("limits", "remove", "--user", "alice", "images/day", "--yes", code=1).stderr


def test_nothing_is_removed_when_one_is_not_there(cli: Cli, key: str) -> None:
    cli("limits", "set", "--user", "alice", "images:50/day")
    cli("limits", "remove", "--user", "alice", "images/day", "tokens/day", "--yes", code=1)
    assert len(cli.json("limits", "list")) == 1


def test_explain_tells_what_is_used_and_left(cli: Cli, key: str) -> None:
    assert "No limit applies" in cli("limits", "explain", "--key", key).stderr
    cli("limits", "set", "--key", key, "images:20/day")
    cli("limits", "set", "--user", "alice", "usd:5/month")
    cli("limits", "set", "--team", "design", "concurrent:3", "--shadow")
    cli("limits", "set", "--default", "images:1/day")
    first, second, third = cli.json("limits", "explain", "--key", key)
    assert (first["limit"], first["used"], first["pending"], first["left"]) == ("images:20/day", 0, 0, 20)
    assert first["resets_at"] == "2026-11-25T00:00:00+00:00"
    assert (second["scope"], second["used"], second["left"]) == ("user", "0.00", "5.00")
    assert second["resets_at"] == "2026-12-01T00:00:00+00:00"
    assert (third["scope"], third["shadow"], third["resets_at"]) == ("team", True, None)
    assert [each["scope"] for each in cli.json("limits", "explain", "--user", "alice")] == ["user", "team"]
    table = cli("limits", "explain", "--key", key).stdout
    assert "concurrent:3 (shadow)" in table
    assert "2026-12-01 00:00" in table


def test_explain_lists_what_applies_to_the_key_and_nothing_else(cli: Cli) -> None:
    cli("limits", "set", "--default", "images:7/day")
    key = cli.json("keys", "create", "--user", "alice", "--model", "gpt-image-2", "--limit", "images:5/day")["id"]
    other = cli.json("keys", "create", "--user", "alice", "--limit", "images:6/day")["id"]
    cli("limits", "set", "--default", "images:1/hour")  # for new users only: not alice
    cli("users", "create", "bob")
    cli("limits", "set", "--user", "bob", "images:1/total")
    cli("limits", "set", "--user", "alice", "usd:1/day@gpt-image-2", "usd:2/day@gpt-image-1.5")
    cli("limits", "set", "--gateway", "tokens:9/week@gpt-image-2", "--shadow")

    def listed(*whose: str) -> list[tuple[str, str, str | None, bool]]:
        explained = cli.json("limits", "explain", *whose)
        return [(each["scope"], each["limit"].partition("@")[0], each["model"], each["shadow"]) for each in explained]

    model = "openai/gpt-image-2"
    of_alice = [("user", "images:7/day", None, False), ("user", "usd:1.00/day", model, False)]
    of_the_other_model = ("user", "usd:2.00/day", "openai/gpt-image-1.5", False)
    of_gateway = ("gateway", "tokens:9/week", model, True)
    assert listed("--key", key) == [("key", "images:5/day", None, False), *of_alice, of_gateway]
    assert listed("--key", other) == [
        ("key", "images:6/day", None, False),
        *of_alice,
        of_the_other_model,
        of_gateway,
    ]
    assert listed("--user", "alice") == [*of_alice, of_the_other_model, of_gateway]
    assert ("user", "images:1/hour", None, False) in listed("--user", "bob")
    table = cli("limits", "explain", "--key", key).stdout
    assert "tokens:9/week@openai/gpt-image-2 (shadow)" in table


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["set", "images:20/day"], "--key ID, --user NAME, --team NAME, --account NAME, --gateway or --default"),
        (["set", "images:20/day", "--user", "alice", "--gateway"], "Choose one of"),
        (["set", "--gateway"], "LIMIT"),
        (["set", "--gateway", "images:20"], "add one of minute, hour"),
        (["set", "--gateway", "images:-1/day"], "no whole number"),
        (["set", "--gateway", "pixels:1/day"], "'pixels' is none of"),
        (["set", "--gateway", "images:1/day@gpt-imgae-2"], "Did you mean gpt-image-2?"),
        (["set", "--gateway", "images:1/day", "images:2/day"], "leave one"),
        (["explain"], "either --key ID or --user NAME"),
        (["explain", "--key", "a", "--user", "b"], "either --key ID or --user NAME"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_made(cli: Cli, arguments: list[str], told: str) -> None:
    assert told in cli("limits", *arguments, code=2).stderr
    assert not cli.data_dir.exists()


def test_a_total_limit_counts_the_past_from_its_first_moment(cli: Cli) -> None:
    cli("users", "create", "alice")
    with opened(Settings(_env_file=None, data_dir=cli.data_dir).database) as engine:
        with writing(engine) as connection:
            old = [reservation(number, NOW - timedelta(days=90 * number)) for number in range(4)]
            connection.execute(insert(ledger_tables.reservations), old)
            add_totals_up(connection)
        cli("limits", "set", "--gateway", "images:100/total", "concurrent:7", "images:9/total@gpt-image-2", "usd:5/day")
        with reading(engine) as connection:
            found = limit_status_of_key(connection, "", "", None, NOW)
    assert [(status.limit.model, status.used) for status in found if status.limit.unit == "images"] == [
        ("", 4),
        ("openai/gpt-image-2", 4),
    ]
    assert cli.json("ledger", "audit") == {"clean": True, "findings": []}


def test_a_limit_is_raised_for_a_time(cli: Cli) -> None:
    cli("users", "create", "alice")
    cli("limits", "set", "--user", "alice", "images:5/day")
    said = cli("limits", "set", "--user", "alice", "images:50/day", "--until", "7d").stderr
    assert "images:5/day (raised to 50 images until 2026-12-01 09:30 UTC)" in said
    (listed,) = cli.json("limits", "list", "--user", "alice")
    assert (listed["amount"], listed["raised_to"], listed["raised_until"]) == (5, 50, "2026-12-01T09:30:00Z")
    (now,) = cli.json("limits", "explain", "--user", "alice")
    assert (now["amount"], now["left"], now["raised_until"]) == (50, 50, "2026-12-01T09:30:00Z")
    cli.now = NOW + timedelta(days=7)
    (after,) = cli.json("limits", "explain", "--user", "alice")
    assert (after["amount"], after["raised_until"]) == (5, None)
    for code, wrong, why in (
        (1, ("images:5/day", "--until", "7d"), "more than that"),
        (1, ("usd:5/day", "--until", "7d"), "no limit on usd"),
        (2, ("images:50/day", "--until", "2020-01-01"), "in the past"),
        (2, ("images:50/day", "--until", "7d", "--shadow"), "refuses nothing"),
    ):
        refused = cli("limits", "set", "--user", "alice", *wrong, code=code)
        assert why in " ".join(refused.stderr.split())


def test_a_request_is_explained(cli: Cli) -> None:
    cli("users", "create", "alice", "--limit", "images:3/day")
    asked = ("limits", "explain", "--user", "alice", "--model", "gpt-image-2", "--size", "1536x1024", "--n", "4")
    shown = cli.json(*asked)
    assert (shown["admitted"], shown["images"], shown["limits"][0]["needed"]) == (False, 4, 4)
    said = cli(*asked).stderr
    assert "4 x openai/gpt-image-2, 1536x1024" in said
    assert "images:3/day" in said
    assert cli.json(*asked[:-1], "3")["admitted"] is True
    refused = cli("limits", "explain", "--user", "alice", "--model", "gpt-image-2", "--size", "1x1", code=2)
    assert "Invalid" in refused.stderr
