"""An SQLite store in PostgreSQL: every row of every table, however often the copy is cut off."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, inspect, select, text

from app.database import migrate, migrations
from app.database.changes import Change
from app.database.copies import move
from app.database.engine import create_engine, reading, writing
from app.errors import Conflict
from app.identity.people.teams import create_team
from tests.database import old_stores
from tests.quotas.making import NOON
from tests.stores import PostgresqlServer

# Rows whose order is not the same in every language, and what COPY has marks for.
NAMES = ["a", "B", "b", "Ä", "é", "z", "_", "a-b", "a b", "tab\there", "back\\slash", "\\N", "line\nbreak", "€", "𝄞"]


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/gateway.db")
    migrate.upgrade(engine)
    old_stores.make(engine)
    with writing(engine) as connection:
        for number, name in enumerate(NAMES):
            team = {"id": f"{name}{number}", "name": name}
            connection.execute(text("INSERT INTO teams (id, name, created_at_ms) VALUES (:id, :name, 1)"), team)
    yield engine
    engine.dispose()


@pytest.fixture
def target(postgresql_server: PostgresqlServer) -> Iterator[Engine]:
    url = postgresql_server.create()
    engine = create_engine(url)
    yield engine
    engine.dispose()
    postgresql_server.drop(url)


def everything(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    metadata = MetaData()
    metadata.reflect(engine)
    with reading(engine) as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        }


def moved(source: Engine, target: Engine) -> None:
    with writing(source) as connection:
        tables = move.begin(connection, target)
        for table in tables:
            move.copy(connection, target, table, lambda _: None)
        assert [move.difference(connection, target, table) for table in tables] == [None] * len(tables)
        move.finish(target, tables)


def test_every_row_of_every_table_is_there_and_the_gateway_goes_on(source: Engine, target: Engine) -> None:
    moved(source, target)
    assert everything(target) == everything(source)
    assert all(everything(target).values())
    assert migrate.is_current(target)
    migrate.upgrade(target)
    # Numbers given by the database go on after those that were copied, and the triggers are there.
    with writing(target) as connection:
        create_team(connection, "new", change=Change("test", NOON, lambda: "id"))
    with pytest.raises(Exception, match="admin_events"), target.begin() as connection:
        connection.execute(text("DELETE FROM admin_events"))


def test_a_table_that_a_later_version_adds_is_copied(source: Engine, target: Engine, later_version: Path) -> None:
    later_version.write_text(
        f'revision, down_revision = "{migrations.HEAD}", "{int(migrations.HEAD) - 1:04d}"\n'
        "from alembic import op\nimport sqlalchemy as sa\n\n"
        "def upgrade() -> None:\n"
        '    op.create_table("later", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))\n'
    )
    migrate.upgrade(source)
    later = Table("later", MetaData(), Column("id", Integer, primary_key=True), Column("name", String))
    with writing(source) as connection:
        connection.execute(later.insert(), [{"name": name} for name in NAMES])
    moved(source, target)
    assert everything(target)["later"] == everything(source)["later"]
    with writing(target) as connection:
        assert connection.execute(later.insert().values(name="next").returning(later.c.id)).scalar() == len(NAMES) + 1


def test_a_copy_that_was_cut_off_goes_on(source: Engine, target: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """After every single row, of every table."""
    monkeypatch.setattr(move, "_ROWS_AT_ONCE", 1)
    seen: dict[str, list[int]] = {}

    class Cut(Exception):
        """The process ends here."""

    cuts = 0
    while True:
        steps = 0

        def cut(name: str, count: int) -> None:
            nonlocal steps
            seen.setdefault(name, []).append(count)
            steps += 1
            if steps > len(seen) + 5:  # some rows further each time
                raise Cut

        try:
            with writing(source) as connection:
                tables = move.begin(connection, target)
                for table in tables:
                    move.copy(connection, target, table, partial(cut, table.name))
                assert [move.difference(connection, target, table) for table in tables] == [None] * len(tables)
                break
        except Cut:
            cuts += 1
            with pytest.raises(Conflict, match="being moved"):
                migrate.upgrade(target)  # no gateway serves from half a store
    assert cuts > 3
    move.finish(target, tables)
    assert everything(target) == everything(source)


def test_what_changed_meanwhile_is_noticed(source: Engine, target: Engine) -> None:
    with writing(source) as connection:
        tables = move.begin(connection, target)
        for table in tables:
            move.copy(connection, target, table, lambda _: None)
    with writing(source) as connection:
        connection.execute(text("UPDATE users SET name = 'eve' WHERE name = 'alice'"))
    with writing(source) as connection:
        found = [found for table in tables if (found := move.difference(connection, target, table))]
    assert found == ["row 1 of users is not the same in both"]
    with writing(source) as connection:
        connection.execute(text("INSERT INTO teams (id, name, created_at_ms) VALUES ('zzz', 'zzz', 1)"))
        teams = next(table for table in tables if table.name == "teams")
        assert move.difference(connection, target, teams) is not None


def test_a_database_that_is_not_empty_is_refused(source: Engine, target: Engine, tmp_path: Path) -> None:
    with writing(target) as connection:
        connection.execute(text("CREATE TABLE mine (id integer)"))
    with pytest.raises(Conflict, match="is not empty"), writing(source) as connection:
        move.begin(connection, target)
    assert inspect(target).get_table_names() == ["mine"]
    with writing(target) as connection:
        connection.execute(text("DROP TABLE mine"))
    migrate.upgrade(target)
    with pytest.raises(Conflict, match="is not empty"), writing(source) as connection:
        move.begin(connection, target)


def test_an_old_source_is_refused(source: Engine, target: Engine) -> None:
    with writing(source) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    with pytest.raises(Conflict, match="schema 0001"), writing(source) as connection:
        move.begin(connection, target)


def test_a_value_that_postgresql_does_not_take_is_named_by_its_table(source: Engine, target: Engine) -> None:
    with writing(source) as connection:
        connection.execute(text("UPDATE users SET name = :name WHERE name = 'bob'"), {"name": "b" * 200})
    with writing(source) as connection:
        tables = {table.name: table for table in move.begin(connection, target)}
        move.copy(connection, target, tables["teams"], lambda _: None)
        with pytest.raises(Conflict, match="table users: value too long"):
            move.copy(connection, target, tables["users"], lambda _: None)
