"""`usage report`: exact sums of real reservations, by every grouping, as table, CSV and JSON."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from app.database.clock import to_ms
from app.database.engine import opened, writing
from app.database.schema import ledger_tables
from app.quotas.refusals.counts import RefusalCounts
from app.quotas.refusals.hours import add_refusals
from app.settings.settings import Settings
from tests.cli.conftest import NOW, Cli
from tests.quotas.making import add_totals_up


def reservation(number: int, at: datetime, **fields: Any) -> dict[str, Any]:
    """A settled request for one image, of 14 tokens and 5,970,001 nano-dollars."""
    return {
        "id": f"req_{number}",
        "key_id": "key",
        "user_id": "user",
        "instance": "test",
        "operation": "generation",
        "model": "openai/gpt-image-2",
        "size": "1024x1024",
        "quality": "low",
        "streamed": False,
        "state": "settled",
        "reserved_at_ms": to_ms(at),
        "dispatched_at_ms": to_ms(at),
        "expires_at_ms": to_ms(at),
        "held_images": 1,
        "held_tokens": 20,
        "held_nanousd": 6_000_000,
        "resolved_at_ms": to_ms(at),
        "outcome": "completed",
        "usage_source": "reported",
        "priced": True,
        "charged_requests": 1,
        "charged_images": 1,
        "charged_tokens": 14,
        "charged_nanousd": 5_970_001,
        "input_text_tokens": 4,
        "input_image_tokens": 0,
        "output_text_tokens": 0,
        "output_image_tokens": 10,
    } | fields


@pytest.fixture
def used(cli: Cli) -> Cli:
    """alice used three images in two months, bob one, of another model."""
    ids = {name: cli.json("users", "create", name)["id"] for name in ("alice", "bob")}
    rows = [
        reservation(1, datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC), user_id=ids["alice"]),
        reservation(2, datetime(2026, 11, 1, tzinfo=UTC), user_id=ids["alice"]),
        reservation(3, NOW, user_id=ids["alice"]),
        reservation(4, NOW - timedelta(hours=1), user_id=ids["bob"], model="openai/gpt-image-1.5"),
    ]
    with opened(Settings(_env_file=None, data_dir=cli.data_dir).database) as engine, writing(engine) as connection:
        connection.execute(insert(ledger_tables.reservations), rows)
        add_totals_up(connection)
    cli.now = NOW + timedelta(seconds=1)
    return cli


def requests(cli: Cli, *options: str) -> dict[str, int]:
    return {row["name"]: row["requests"] for row in cli.json("usage", "report", *options)}


def test_by_everything(used: Cli) -> None:
    assert requests(used) == requests(used, "--by", "user") == {"alice": 3, "bob": 1}
    assert requests(used, "--by", "model") == {"openai/gpt-image-2": 3, "openai/gpt-image-1.5": 1}
    assert requests(used, "--by", "day") == {"2026-10-31": 1, "2026-11-01": 1, "2026-11-24": 2}
    assert list(requests(used, "--by", "key").values()) == [4]
    assert list(requests(used, "--by", "team").values()) == [4]
    assert requests(used, "--by", "account") == {"main": 4}


def test_from_the_first_to_the_last_day(used: Cli) -> None:
    assert requests(used, "--since", "2026-11-01", "--until", "2026-11-30") == {"alice": 2, "bob": 1}
    assert requests(used, "--since", "2026-10-01", "--until", "2026-10-31") == {"alice": 1}
    assert requests(used, "--since", "30m") == {"alice": 1}
    assert requests(used, "--until", "30m") == {"alice": 2, "bob": 1}


def test_money_is_exact_as_text_and_as_a_whole_number(used: Cli) -> None:
    alice = next(row for row in used.json("usage", "report") if row["name"] == "alice")
    assert (alice["usd"], alice["nanousd"]) == ("0.017910003", 17_910_003)
    assert (alice["images"], alice["tokens"], alice["output_image_tokens"]) == (3, 42, 30)


def test_csv_is_the_same_as_json(used: Cli, tmp_path: Path) -> None:
    lines = used("usage", "report", "--csv").stdout
    assert "\r" not in lines
    rows = list(csv.DictReader(lines.splitlines()))
    for row, expected in zip(rows, used.json("usage", "report"), strict=True):
        assert (row.pop("user"), row.pop("user_id")) == (expected.pop("name"), expected.pop("id"))
        assert row == {name: str(value) for name, value in expected.items()}


def test_the_table_adds_up(used: Cli) -> None:
    result = used("usage", "report", "--since", "2026-10-01")
    *_, total = result.stdout.splitlines()
    assert total.split()[:2] == ["total", "4"]
    assert total.split()[-1] == "$0.023880004"
    assert "From 2026-10-01 00:00 to now (UTC)" in result.stderr
    assert "Nothing was used." in used("usage", "report", "--until", "2020-01-01").stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--csv", "--json"], "one of --csv and --json"),
        (["--since", "last week"], "--since"),
        (["--until", "31.12.2026"], "--until"),
        (["--since", "2026-11-02", "--until", "2026-11-01"], "--since is not before --until"),
        (["--since", "2027-01-01"], "--since is not before --until"),
        (["--by", "colour"], "--by"),
    ],
)
def test_what_makes_no_sense_is_refused(cli: Cli, options: list[str], told: str) -> None:
    assert told in cli("usage", "report", *options, code=2).stderr


def test_csv_holds_no_formula(cli: Cli) -> None:
    """A user's name is free text, and whoever opens the report did not choose it."""
    cli("keys", "create", "--user", '=HYPERLINK("http://example.com")')
    row = reservation(1, NOW, user_id=cli.json("users", "list")[0]["id"])
    with opened(Settings(_env_file=None, data_dir=cli.data_dir).database) as engine, writing(engine) as connection:
        connection.execute(insert(ledger_tables.reservations).values(row))
        add_totals_up(connection)
    lines = cli("usage", "report", "--csv").stdout
    [line] = csv.DictReader(lines.splitlines())
    assert line["user"] == '\'=HYPERLINK("http://example.com")'


def test_refusals_are_shown_the_most_frequent_first(cli: Cli) -> None:
    alice, counts = cli.json("users", "create", "alice")["id"], RefusalCounts()
    for _ in range(1200):
        counts.count(NOW, alice, "key", "insufficient_quota")
    counts.count(NOW - timedelta(days=2), "", "", "invalid_api_key")
    with opened(Settings(_env_file=None, data_dir=cli.data_dir).database) as engine:
        add_refusals(engine, counts.take())
    assert [(row["user"], row["code"], row["count"]) for row in cli.json("usage", "refusals")] == [
        ("alice", "insufficient_quota", 1200),
        (None, "invalid_api_key", 1),
    ]
    table = cli("usage", "refusals").stdout
    assert "1,200" in table
    assert "(unknown)" in table
    assert "(unknown)" not in cli("usage", "refusals", "--since", "1d").stdout
    assert "Nothing was refused." in cli("usage", "refusals", "--until", "30d").stderr


def test_old_refusals_are_pruned_with_the_records(cli: Cli) -> None:
    cli("users", "create", "alice")  # makes the database
    counts = RefusalCounts()
    for days in (0, 401, 402):
        counts.count(NOW - timedelta(days=days), "", "", "invalid_api_key")
    with opened(Settings(_env_file=None, data_dir=cli.data_dir).database) as engine:
        add_refusals(engine, counts.take())
    assert cli.json("ledger", "prune", "--older-than", "400d", "--yes")["pruned"] == 0
    assert [row["count"] for row in cli.json("usage", "refusals")] == [1]
