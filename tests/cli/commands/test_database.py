"""`db`."""

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from app.database import migrations
from app.database.engine import create_engine
from app.database.instance import only_instance
from tests.cli.conftest import Cli
from tests.quotas.making import NOON, add_rows
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


def test_the_lines_for_pg_dump_and_pg_restore_make_a_copy_and_put_it_back(
    cli: Cli, postgresql_server: PostgresqlServer, postgresql_url: str, target: str, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.dump"

    def run_line(command: str) -> None:
        told = cli("db", command, str(copy), code=1).stderr
        [line] = re.findall(r"PostgreSQL has its own tool for this: (.+)", told)
        programs = {"PATH": f"{postgresql_server.programs}:{os.environ['PATH']}"}
        done = subprocess.run(["sh", "-c", line], env=programs, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    cli.environment["GATEWAY_DATABASE_URL"] = postgresql_url
    cli("keys", "create", "--user", "alice", "--limit", "images:100/day")
    engine = create_engine(postgresql_url)
    add_rows(engine, 200, NOON - timedelta(days=3), NOON)
    engine.dispose()
    commands = ("keys list", "limits list", "changes list", "usage report --by model", "ledger audit")
    shown = {name: cli.json(*name.split()) for name in commands}
    assert shown["ledger audit"]["clean"]
    run_line("backup")
    assert copy.stat().st_mode & 0o777 == 0o600
    cli("keys", "create", "--user", "bob")

    for database in (target, postgresql_url):  # an empty one, and the one that has gone on
        cli.environment["GATEWAY_DATABASE_URL"] = database
        run_line("restore")
        assert {name: cli.json(*name.split()) for name in shown} == shown
