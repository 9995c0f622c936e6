"""The database as commands open it: reading makes nothing, writing sets up, an old schema is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from app.database.engine import opened, writing
from app.settings.settings import Settings, load_settings
from tests.cli.conftest import Cli


def test_reading_makes_nothing_and_says_what_would(cli: Cli) -> None:
    told = cli("keys", "list", code=1).stderr
    assert f"There is no database yet at {cli.data_dir / 'gateway.db'}" in told
    assert "GATEWAY_DATA_DIR" in told
    assert not cli.data_dir.exists()


def test_the_first_change_sets_the_database_up_and_says_so(cli: Cli) -> None:
    assert f"Made a new database: {cli.data_dir / 'gateway.db'}" in cli("teams", "create", "design").stderr
    assert "Made a new database" not in cli("teams", "create", "sales").stderr
    assert cli.data_dir.stat().st_mode & 0o077 == 0


def test_an_empty_database_is_told_from_none(cli: Cli) -> None:
    cli.data_dir.mkdir()
    (cli.data_dir / "gateway.db").touch()
    assert "The database is empty." in cli("keys", "list", code=1).stderr


@pytest.mark.parametrize("command", [("keys", "list"), ("teams", "create", "design")])
def test_an_old_schema_is_refused_with_the_way_out(cli: Cli, command: tuple[str, ...]) -> None:
    cli("db", "upgrade")
    with opened(Settings(_env_file=None, data_dir=cli.data_dir).database) as engine, writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    told = cli(*command, code=1).stderr
    assert "schema 0001" in told
    assert "zenmux-gateway db upgrade" in told


def test_a_database_url_nobody_can_read_is_told(cli: Cli) -> None:
    cli.environment["GATEWAY_DATABASE_URL"] = "mysql://gateway:hunter2@db/gateway"
    told = cli("keys", "list", code=1).stderr
    assert "postgresql://" in told
    assert "hunter2" not in told


def test_a_report_may_take_longer_than_a_request(cli: Cli, store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL would end a statement after half a minute."""
    cli.environment["GATEWAY_DATABASE_URL"] = store_url
    asked: list[str] = []

    def report(connection: Connection, *_: object) -> Iterator[object]:
        if connection.dialect.name == "postgresql":
            asked.append(connection.exec_driver_sql("SHOW statement_timeout").scalar_one())
        return iter(())

    monkeypatch.setattr("app.quotas.reports.usage.usage_report", report)
    cli("usage", "report")
    assert asked == (["0"] if store_url.startswith("postgresql") else [])


def test_settings_are_read_once_a_command(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read parses the environment and the file anew."""
    key = cli.json("keys", "create", "--user", "alice")["id"]
    loaded: list[object] = []

    def load(*where: Path | None) -> Settings:
        loaded.append(where)
        return load_settings(*where)

    monkeypatch.setattr("app.cli.terminal.settings_view.load_settings", load)
    for command in (["keys", "create", "--user", "bob"], ["keys", "rotate", key], ["users", "disable", "bob", "--yes"]):
        loaded.clear()
        cli(*command)
        assert len(loaded) == 1
