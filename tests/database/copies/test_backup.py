"""Copies of an SQLite store: made while a gateway writes, put back while none does."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app.database import migrate
from app.database.copies.backup import back_up, pg_dump_line, restore
from app.database.engine import create_engine
from app.errors import Conflict, InvalidValue, NotFound

NOW = 1_800_000_000_000


def store(path: Path, *, beat_at: int | None = None) -> Path:
    engine = create_engine(f"sqlite:///{path}")
    migrate.upgrade(engine)
    engine.dispose()
    if beat_at is not None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("INSERT INTO heartbeats VALUES ('one', 1, ?, 10000)", (beat_at,))
    return path


def team(path: Path, name: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO teams (id, name, created_at_ms) VALUES (?, ?, 1)", (name, name))


def teams(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM teams ORDER BY name")]


def test_a_copy_has_what_is_still_in_the_journal_and_nobody_else_reads_it(tmp_path: Path) -> None:
    database = store(tmp_path / "gateway.db")
    with closing(sqlite3.connect(database, isolation_level=None)) as open_all_the_time:
        open_all_the_time.execute("SELECT 1 FROM teams").fetchall()
        team(database, "design")
        assert back_up(database, tmp_path / "copy.db") == (tmp_path / "copy.db").stat().st_size
    assert teams(tmp_path / "copy.db") == ["design"]
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} >= {"gateway.db", "copy.db"}
    assert not list(tmp_path.glob("copy.db-*"))


def test_a_file_that_exists_is_not_written_over(tmp_path: Path) -> None:
    database = store(tmp_path / "gateway.db")
    (tmp_path / "copy.db").write_text("mine")
    with pytest.raises(Conflict, match="exists"):
        back_up(database, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "mine"


def test_a_damaged_store_gives_no_copy(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_bytes(b"not a database at all" * 500)
    with pytest.raises(Conflict, match="could not be copied"):
        back_up(tmp_path / "gateway.db", tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_a_copy_is_put_back_and_what_was_there_is_kept(tmp_path: Path) -> None:
    database = store(tmp_path / "gateway.db", beat_at=0)
    team(database, "design")
    back_up(database, tmp_path / "copy.db")
    team(database, "later")
    kept = restore(tmp_path / "copy.db", database, NOW)
    assert teams(database) == ["design"]
    assert kept is not None
    assert teams(kept) == ["design", "later"]
    assert teams(tmp_path / "copy.db") == ["design"]
    assert not list(tmp_path.glob("*-wal"))
    engine = create_engine(f"sqlite:///{database}")
    assert migrate.is_current(engine)
    engine.dispose()


def test_a_copy_is_put_where_nothing_is(tmp_path: Path) -> None:
    back_up(store(tmp_path / "gateway.db"), tmp_path / "copy.db")
    assert restore(tmp_path / "copy.db", tmp_path / "new.db", NOW) is None
    assert teams(tmp_path / "new.db") == []


@pytest.mark.parametrize(("beat_at", "refused"), [(NOW - 29_000, True), (NOW - 31_000, False), (0, False)])
def test_a_store_in_use_is_not_replaced(tmp_path: Path, beat_at: int, refused: bool) -> None:
    database = store(tmp_path / "gateway.db", beat_at=beat_at)
    back_up(database, tmp_path / "copy.db")
    if refused:
        with pytest.raises(Conflict, match="uses the database"):
            restore(tmp_path / "copy.db", database, NOW)
    else:
        restore(tmp_path / "copy.db", database, NOW)


def test_what_is_no_copy_is_refused(tmp_path: Path) -> None:
    database = store(tmp_path / "gateway.db")
    with pytest.raises(NotFound):
        restore(tmp_path / "missing.db", database, NOW)
    (tmp_path / "other.db").write_text("hello")
    with pytest.raises(InvalidValue, match="no copy"):
        restore(tmp_path / "other.db", database, NOW)
    back_up(database, tmp_path / "newer.db")
    with closing(sqlite3.connect(tmp_path / "newer.db", isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Conflict, match="9999"):
        restore(tmp_path / "newer.db", database, NOW)


def test_postgresqls_own_tools_are_named_without_the_password() -> None:
    url = "postgresql+psycopg://gateway:secret@db:5432/images"
    line = pg_dump_line(url, Path("copy.dump"))
    assert line == "(umask 077; pg_dump --format=custom --file='copy.dump' 'postgresql://gateway@db:5432/images')"
    assert "secret" not in pg_dump_line(url, Path("copy.dump"), back=True)
