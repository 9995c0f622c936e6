"""`db`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.database import migrations
from app.database.instance import only_instance
from tests.cli.conftest import Cli
from tests.stores import PostgresqlServer


@pytest.fixture
def target(postgresql_server: PostgresqlServer) -> Iterator[str]:
    url = postgresql_server.create()
    yield url
    postgresql_server.drop(url)


def test_upgrade_makes_the_database_and_then_has_nothing_to_do(cli: Cli) -> None:
    assert f"went from nothing to schema {migrations.HEAD}" in cli("db", "upgrade").stderr
    assert "Nothing to do" in cli("db", "upgrade").stderr
    place = str(cli.data_dir / "gateway.db")
    assert cli.json("db", "upgrade") == {"database": place, "before": migrations.HEAD, "after": migrations.HEAD}


def test_move_to_postgresql_and_go_on_there(cli: Cli, target: str, tmp_path: Path) -> None:
    made = cli.json("keys", "create", "--user", "alice", "--limit", "images:100/day")
    (tmp_path / "url").write_text(f"{target}\n")
    shown = cli("db", "move", "--to-file", str(tmp_path / "url")).stderr
    assert "compared one by one" in shown
    assert "The audit finds the same in both: nothing wrong." in shown
    before = {name: cli.json(*name.split()) for name in ("keys list", "limits list", "changes list")}
    cli.environment["GATEWAY_DATABASE_URL"] = target
    assert {name: cli.json(*name.split()) for name in before} == before
    assert [key["id"] for key in before["keys list"]] == [made["id"]]
    cli("keys", "create", "--user", "bob")
    assert "already" in cli("db", "move", "--to", target, code=1).stderr


def test_move_needs_postgresql_and_a_gateway_that_is_stopped(cli: Cli, target: str) -> None:
    assert "--to needs the URL" in cli("db", "move", code=1).stderr
    assert "There is no database" in cli("db", "move", "--to", target, code=1).stderr
    cli("db", "upgrade")
    assert "--to needs the URL" in cli("db", "move", "--to", "sqlite:///other.db", code=1).stderr
    with only_instance(cli.data_dir):
        cli("db", "move", "--to", target, code=1)
    moved = cli.json("db", "move", "--to", target)
    assert moved["audit"] == {"clean": True, "findings": []}
    assert moved["rows"]["keys"] == 0
    assert "is not empty" in cli("db", "move", "--to", target, code=1).stderr
