"""Makes engines, opens transactions, and raises StoreUnavailable if the database fails. Contains no query.

SQLite serves one process from one file. PostgreSQL (through psycopg 3) serves several.
"""

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from app.database.store_file import OPTION, StoreFile
from app.database.url import parse_url
from app.errors import ConfigurationError, StoreUnavailable

_POOL: dict[str, Any] = {"pool_timeout": 10, "pool_use_lifo": True}
_CONNECTIONS_MAX = 10

_SQLITE_PRAGMAS = (
    "PRAGMA busy_timeout = 10000",  # first: the other statements may have to wait for another process
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # a settled reservation survives a power cut
    "PRAGMA foreign_keys = ON",
)

# Read by libpq. They detect a vanished server in half a minute instead of two hours.
_POSTGRESQL_CONNECT: dict[str, Any] = {
    "connect_timeout": 5,
    "application_name": "zenmux-gateway",
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

# The idle limit releases the rows that a frozen process has locked.
_POSTGRESQL_SESSION = """
    SELECT set_config('timezone', 'UTC', false),
           set_config('statement_timeout', '30s', false),
           set_config('lock_timeout', '10s', false),
           set_config('idle_in_transaction_session_timeout', '60s', false)
"""

# A missing table or column (PostgreSQL's SQLSTATE): the database was never migrated.
_NOT_MIGRATED = {"42P01", "42703"}
_ENDED = "57014"  # a statement took longer than it may
_DISPOSALS = "disposals"  # how often the engine had been disposed of when the connection was taken
_SQLITE_STEPS = 20_000  # some milliseconds


def create_engine(url: str, connections_max: int = _CONNECTIONS_MAX) -> Engine:
    """An engine with a pool of at most so many connections; a caller waits at most 10 s for one.

    SQLite: makes the file (mode 0600) and its folder (0700) if they are missing. Every transaction begins with BEGIN
    IMMEDIATE unless `reading` opened it. PostgreSQL: not contacted yet. SQLAlchemy's errors do not show the values of
    statements. Raises ConfigurationError if the URL is neither of the two, or the file cannot be written.
    """
    parsed = parse_url(url)
    kept = min(connections_max, 5)
    pool = _POOL | {"pool_size": kept, "max_overflow": connections_max - kept}
    engine = (_sqlite_engine if parsed.drivername == "sqlite" else _postgresql_engine)(parsed, pool)
    _close_what_comes_back_late(engine)
    return engine


def _close_what_comes_back_late(engine: Engine) -> None:
    """A connection in use while its engine is disposed of goes back to a pool that nobody closes any more."""
    disposals = 0

    @event.listens_for(engine, "engine_disposed")
    def disposed(_: Engine) -> None:
        nonlocal disposals
        disposals += 1

    @event.listens_for(engine, "checkout")
    def checkout(_: object, record: ConnectionPoolEntry, __: object) -> None:
        record.info[_DISPOSALS] = disposals

    @event.listens_for(engine, "checkin")
    def checkin(_: object, record: ConnectionPoolEntry) -> None:
        if record.info.get(_DISPOSALS, disposals) != disposals:
            record.invalidate()


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """The engine of `create_engine`, disposed of at the end of the block."""
    engine = create_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that may write: committed at the end of the block, rolled back by any exception.

    Raises StoreUnavailable if the database fails, even at the commit.
    """
    with store_errors(), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine, *, has_deadline: bool = True, seconds_max: float | None = None) -> Iterator[Connection]:
    """One transaction that only reads, sees one moment of the database and never waits for writers.

    Without a deadline, a statement may take any time, on PostgreSQL too. `seconds_max` ends slower reads on both
    engines: a statement on PostgreSQL, the whole transaction on SQLite. Raises StoreUnavailable if the database fails.
    """
    with store_errors(), engine.connect() as connection, _ended_after(connection, seconds_max):
        if engine.dialect.name == "sqlite":
            connection.execution_options(sqlite_begin="DEFERRED")
        else:
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            if not has_deadline and engine.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            elif seconds_max is not None and engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = {round(seconds_max * 1000)}")
            yield connection


@contextmanager
def _ended_after(connection: Connection, seconds_max: float | None) -> Iterator[None]:
    """SQLite has no time for a statement, but asks after so many steps whether to go on."""
    if seconds_max is None or connection.dialect.name != "sqlite":
        yield
        return
    sqlite: Any = connection.connection.driver_connection
    ends_at = time.monotonic() + seconds_max
    sqlite.set_progress_handler(lambda: time.monotonic() > ends_at, _SQLITE_STEPS)
    try:
        yield
    finally:
        sqlite.set_progress_handler(None, 0)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turns the database's failures into StoreUnavailable, whose message contains neither URL nor SQL.

    Broken rules (IntegrityError) and wrong statements are not converted: they are bugs, or the caller handles them.
    """
    try:
        yield
    except PoolTimeout as error:
        raise StoreUnavailable("The gateway's database is busy; try again shortly.") from error
    except DBAPIError as error:
        if not _is_failure(error):
            raise
        if str(error.orig) == "interrupted" or getattr(error.orig, "sqlstate", None) == _ENDED:
            raise StoreUnavailable("The gateway's database took too long over this; ask for less of it.") from error
        raise StoreUnavailable("The gateway's database is not available; try again shortly.") from error


def _is_failure(error: DBAPIError) -> bool:
    # SQLite raises a bare DatabaseError for a damaged file.
    return (
        isinstance(error, (OperationalError, InterfaceError, InternalError))
        or type(error) is DatabaseError
        or error.connection_invalidated
        # No statement was wrong: the connection could not be made with this URL.
        or (error.statement is None and not isinstance(error, IntegrityError))
        or getattr(error.orig, "sqlstate", None) in _NOT_MIGRATED
    )


def _sqlite_engine(url: URL, pool: dict[str, Any]) -> Engine:
    _prepare_file(Path(url.database or ""))
    sqlite3.register_adapter(bool, int)  # the driver writes them like this anyway, after two failed look-ups per value
    file = StoreFile(Path(url.database or ""))
    engine = sqlalchemy.create_engine(url, hide_parameters=True, execution_options={OPTION: file}, **pool)

    @event.listens_for(engine, "do_connect")
    def do_connect(*_: object) -> None:
        file.check()  # first: SQLite would create a missing file again

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: Any, _record: object) -> None:  # noqa: ANN401 - a sqlite3.Connection in disguise
        # None stops the driver from beginning (and silently ending) transactions by itself; `begin` below does it.
        dbapi_connection.isolation_level = None
        for pragma in _SQLITE_PRAGMAS:
            dbapi_connection.execute(pragma)
        file.remember()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        file.check()
        # IMMEDIATE takes the write lock first. Otherwise a transaction that reads, then writes, could fail halfway.
        how = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
        connection.exec_driver_sql(f"BEGIN {how}")

    return engine


def _prepare_file(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_file(path)
    except OSError as error:
        raise ConfigurationError(f"The database file {path} cannot be written: {error.strerror}.") from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"The folder {path.parent} must be writable: SQLite keeps its journal beside {path.name}."
        )


def _make_file(path: Path) -> None:
    """Makes the file if it is missing, and never opens an existing one.

    A POSIX lock is lost as soon as its process closes *any* descriptor of the file. SQLite's own lock would be lost,
    and the next program to close the database would delete the journal that this process writes to.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if not path.is_file():
            raise
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


def _postgresql_engine(url: URL, pool: dict[str, Any]) -> Engine:
    options = {name: value for name, value in _POSTGRESQL_CONNECT.items() if name not in url.query}
    try:
        engine = sqlalchemy.create_engine(
            url, hide_parameters=True, pool_pre_ping=True, pool_recycle=1800, connect_args=options, **pool
        )
        engine.dialect.create_connect_args(url)
    except ArgumentError:
        raise ConfigurationError("The database URL names hosts or ports that cannot be read.") from None

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: Any, _record: object) -> None:  # noqa: ANN401 - a psycopg.Connection in disguise
        dbapi_connection.execute(_POSTGRESQL_SESSION)
        dbapi_connection.commit()

    return engine
