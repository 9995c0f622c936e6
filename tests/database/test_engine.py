import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from app.database.engine import create_engine, reading, store_errors, writing
from app.database.schema import change_tables, identity_tables
from app.errors import ConfigurationError, StoreUnavailable
from tests.database.revision import read_revision

PASSWORD = "hunter2-secret"


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'data' / 'gateway.db'}")
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE notes (words TEXT)"))
    yield engine
    engine.dispose()


def add_team(engine: Engine, name: str) -> None:
    with writing(engine) as connection:
        connection.execute(identity_tables.teams.insert().values(id=f"team_{name}", name=name, created_at_ms=1))


def teams_of(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return list(connection.scalars(identity_tables.teams.select().with_only_columns(identity_tables.teams.c.name)))


# --- transactions, both engines


def test_what_a_block_wrote_is_there_after_it(engine: Engine) -> None:
    add_team(engine, "design")
    assert teams_of(engine) == ["design"]


def test_a_block_that_raises_wrote_nothing_not_even_tables(engine: Engine) -> None:
    def write_and_fail() -> None:
        with writing(engine) as connection:
            connection.execute(identity_tables.teams.insert().values(id="t", name="t", created_at_ms=1))
            connection.execute(text("CREATE TABLE notes (words TEXT)"))
            connection.execute(text("INSERT INTO notes VALUES ('x')"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert teams_of(engine) == []
    with pytest.raises(StoreUnavailable), reading(engine) as connection:
        connection.execute(text("SELECT * FROM notes"))


def test_a_reader_sees_one_moment_and_waits_for_no_writer(engine: Engine) -> None:
    with reading(engine) as reader:
        assert read_revision(reader) == 0
        with writing(engine) as writer:
            writer.execute(change_tables.revision.update().values(value=7))
            assert read_revision(reader) == 0
        assert read_revision(reader) == 0
    with reading(engine) as reader:
        assert read_revision(reader) == 7


def test_a_connection_that_read_can_write_again(engine: Engine) -> None:
    """One connection of the pool serves both: what `reading` sets must not stay."""
    for number in range(3):
        teams_of(engine)
        add_team(engine, str(number))
    assert engine.pool.checkedin() == 1  # type: ignore[attr-defined]  # it is a QueuePool


def test_foreign_keys_are_enforced(engine: Engine) -> None:
    with pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(identity_tables.users.insert().values(id="u", name="u", team_id="nobody", created_at_ms=1))


def test_the_pool_is_bounded_and_its_end_is_said_with_a_clear_error(engine: Engine) -> None:
    engine.pool._timeout = 0.05  # type: ignore[attr-defined]
    with ExitStack() as held:
        for _ in range(10):
            held.enter_context(reading(engine))
        with pytest.raises(StoreUnavailable, match="busy"), reading(engine):
            pass
    teams_of(engine)


def test_a_connection_that_comes_back_after_its_engine_was_disposed_of_is_closed(empty_store_url: str) -> None:
    engine = create_engine(empty_store_url)
    with engine.connect() as connection:
        late: Any = connection.connection.driver_connection
        engine.dispose()
    with pytest.raises((psycopg.OperationalError, sqlite3.ProgrammingError), match="closed"):
        late.execute("SELECT 1")
    with engine.connect() as connection:  # it may be used again
        again: Any = connection.connection.driver_connection
    again.execute("SELECT 1")
    engine.dispose()


# --- errors


def test_a_database_that_was_never_migrated_is_unavailable(empty_store_url: str) -> None:
    engine = create_engine(empty_store_url)
    with pytest.raises(StoreUnavailable):
        teams_of(engine)
    engine.dispose()


def test_the_message_names_neither_url_nor_sql_nor_values() -> None:
    engine = create_engine(f"postgresql://gateway:{PASSWORD}@127.0.0.1:1/ledger")
    with pytest.raises(StoreUnavailable) as failure, writing(engine) as connection:
        connection.execute(text("SELECT 1"))
    assert failure.value.message == "The gateway's database is not available; try again shortly."
    assert PASSWORD not in repr(failure.value.__cause__)
    assert PASSWORD not in repr(engine)


def test_errors_do_not_show_the_values_of_statements(engine: Engine) -> None:
    add_team(engine, "design")
    with pytest.raises(IntegrityError) as failure, writing(engine) as connection:
        connection.execute(
            identity_tables.key_secrets.insert().values(secret_sha256=b"\xaa" * 32, key_id="nobody", created_at_ms=1)
        )
    assert "xaa" not in str(failure.value)


@pytest.mark.parametrize("error", [IntegrityError("INSERT", {}, Exception()), KeyError("x"), ConfigurationError("x")])
def test_other_errors_pass_through(error: Exception) -> None:
    with pytest.raises(type(error)) as passed, store_errors():
        raise error
    assert passed.value is error


@pytest.mark.parametrize("store_kind", ["postgresql"], indirect=True)
def test_a_server_that_ended_the_connection_is_unavailable_once_then_fine(engine: Engine) -> None:
    def write_on_an_ended_connection() -> None:
        with writing(engine) as connection, writing(engine) as killer:
            ended = {"pid": connection.scalar(text("SELECT pg_backend_pid()"))}
            killer.execute(text("SELECT pg_terminate_backend(:pid)"), ended)
            connection.execute(identity_tables.teams.insert().values(id="lost", name="lost", created_at_ms=1))

    with pytest.raises(StoreUnavailable):
        write_on_an_ended_connection()
    add_team(engine, "design")
    assert teams_of(engine) == ["design"]


@pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True)
def test_a_damaged_file_is_unavailable_until_it_is_mended(store_url: str) -> None:
    path = Path(store_url.removeprefix("sqlite:///"))
    whole = path.read_bytes()
    path.write_bytes(b"x" * len(whole))
    engine = create_engine(store_url)
    with pytest.raises(StoreUnavailable):
        add_team(engine, "lost")
    path.write_bytes(whole)
    add_team(engine, "design")
    assert teams_of(engine) == ["design"]
    engine.dispose()


# --- SQLite


def test_sqlite_is_set_up_for_a_ledger(sqlite_engine: Engine) -> None:
    def pragma(name: str) -> object:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

    with reading(sqlite_engine) as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.isolation_level is None, "else the driver begins and ends transactions by itself"
        assert pragma("journal_mode") == "wal"
        assert pragma("synchronous") == 2
        assert pragma("foreign_keys") == 1
        assert pragma("busy_timeout") == 10_000


def test_sqlite_files_are_the_owners_alone(sqlite_engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert files == {"gateway.db": 0o600, "gateway.db-wal": 0o600, "gateway.db-shm": 0o600}


def test_sqlite_writers_take_turns_from_the_beginning(sqlite_engine: Engine) -> None:
    """Each reads, then writes what it read plus one: all arrive only if the lock is taken before the reading."""

    def add() -> None:
        for _ in range(25):
            with writing(sqlite_engine) as connection:
                notes = connection.scalar(text("SELECT count(*) FROM notes"))
                connection.execute(text("INSERT INTO notes VALUES (:words)"), {"words": str(notes)})

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with reading(sqlite_engine) as connection:
        assert connection.scalar(text("SELECT count(DISTINCT words) FROM notes")) == 100


def test_sqlite_says_so_when_another_process_keeps_the_lock(sqlite_engine: Engine, tmp_path: Path) -> None:
    with sqlite_engine.connect() as connection:
        assert connection.connection.driver_connection is not None
        connection.connection.driver_connection.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(tmp_path / "data" / "gateway.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable), writing(sqlite_engine):
        pass
    other.execute("ROLLBACK")
    other.close()
    with writing(sqlite_engine) as connection:
        connection.execute(text("INSERT INTO notes VALUES ('x')"))


def test_another_engine_on_the_file_takes_no_locks_away(sqlite_engine: Engine, tmp_path: Path) -> None:
    """Else a command run beside the gateway would delete its journal, and with it what is written from then on."""
    file = tmp_path / "data" / "gateway.db"
    create_engine(f"sqlite:///{file}").dispose()
    for words in ("before", "after"):
        with writing(sqlite_engine) as connection:
            connection.execute(text("INSERT INTO notes VALUES (:words)"), {"words": words})
        program = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT * FROM notes'))"
        command = [sys.executable, "-c", program, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert words in done.stdout


@pytest.mark.parametrize("path", ["file/gateway.db", "file/deeper/gateway.db", "folder", "/proc/gateway.db"])
def test_a_file_that_cannot_be_made_is_named(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be written") as refusal:
        create_engine(f"sqlite:///{tmp_path / path}")
    assert path in refusal.value.message


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gateway.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///gateway.db?mode=ro",
        "sqlite://host/gateway.db",
        f"mysql://gateway:{PASSWORD}@host/ledger",
        f"postgresql+asyncpg://gateway:{PASSWORD}@host/ledger",
        f"postgresql://gateway:{PASSWORD}@host:port/ledger",
    ],
)
def test_other_urls_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="sqlite:///<file>") as refusal:
        create_engine(url)
    assert PASSWORD not in refusal.value.message
    assert refusal.value.__cause__ is None


# --- PostgreSQL


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_goes_through_psycopg_3(scheme: str) -> None:
    assert create_engine(f"{scheme}://gateway@host/ledger").url.drivername == "postgresql+psycopg"


@pytest.mark.parametrize("store_kind", ["postgresql"], indirect=True)
def test_postgresql_sessions_are_bounded_and_in_utc(engine: Engine) -> None:
    def shown(name: str) -> object:
        return connection.scalar(text(f"SHOW {name}"))

    with reading(engine) as connection:
        assert shown("timezone") == "UTC"
        assert shown("statement_timeout") == "30s"
        assert shown("lock_timeout") == "10s"
        assert shown("idle_in_transaction_session_timeout") == "1min"
        assert shown("application_name") == "zenmux-gateway"
        assert shown("transaction_read_only") == "on"
        assert shown("transaction_isolation") == "repeatable read"
    with writing(engine) as connection:
        assert shown("transaction_read_only") == "off"
        assert shown("transaction_isolation") == "read committed"


@pytest.mark.parametrize("store_kind", ["postgresql"], indirect=True)
def test_postgresql_options_in_the_url_win(store_url: str) -> None:
    engine = create_engine(f"{store_url}&application_name=other")
    with reading(engine) as connection:
        assert connection.scalar(text("SHOW application_name")) == "other"
    engine.dispose()


@pytest.mark.parametrize("store_kind", ["postgresql"], indirect=True)
def test_postgresql_statements_that_take_too_long_are_unavailability(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(text("SET LOCAL statement_timeout = '20ms'"))
        with pytest.raises(StoreUnavailable), store_errors():
            connection.execute(text("SELECT pg_sleep(20)"))
