"""Copies an SQLite store into an empty PostgreSQL database, every table there is, and compares both row by row. Blocks.

A copy that was cut off goes on where it stopped. Until `finish`, the target has a schema version of no gateway, so that
none serves from half a store.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

from sqlalchemy import (
    Connection,
    CursorResult,
    Engine,
    Integer,
    MetaData,
    Row,
    Select,
    String,
    Table,
    func,
    inspect,
    select,
    text,
)

from app.database import migrate, migrations
from app.database.engine import reading, writing
from app.errors import Conflict, StoreUnavailable

_VERSION_TABLE = "alembic_version"
_ROWS_AT_ONCE = 10_000


def begin(source: Connection, target: Engine) -> list[Table]:
    """The tables to copy, those first that others refer to. Makes them in the target, unless a cut-off copy did.

    Raises Conflict if the source has another schema, or the target is not empty.
    """
    found = source.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()  # noqa: S608 - a name of ours
    if found != migrations.HEAD:
        raise Conflict(f"The SQLite database has schema {found}; bring it to {migrations.HEAD} first: db upgrade.")
    tables = _tables(source)
    version = migrate.current(target)
    if version == migrations.MOVING:
        return tables
    if version is not None or inspect(target).get_table_names():
        raise Conflict("The PostgreSQL database is not empty. Name one that is: CREATE DATABASE makes it.")
    migrate.upgrade(target)
    with writing(target) as connection:
        _set_version(connection, migrations.HEAD, migrations.MOVING)
        for table in reversed(tables):
            if connection.execute(select(table)).first():  # the few rows that the steps put into an empty database
                connection.execute(table.delete())
    return tables


def copy(source: Connection, target: Engine, table: Table, on_rows: Callable[[int], None]) -> None:
    """Copies the rows that are not there yet, thousands in each transaction; calls `on_rows` with the sum after each.

    Raises Conflict for a value that PostgreSQL does not take, StoreUnavailable.
    """
    with reading(target) as connection:
        done: int = connection.execute(select(func.count()).select_from(table)).scalar_one()
    on_rows(done)
    rest = _in_order(table, source).limit(-1).offset(done)
    for rows in source.execution_options(yield_per=_ROWS_AT_ONCE).execute(rest).partitions():
        with writing(target) as connection, _psycopg_errors(table):
            _insert(connection, table, rows)
        done += len(rows)
        on_rows(done)


def difference(source: Connection, target: Engine, table: Table) -> str | None:
    """The first row in which the two differ, as a sentence without its values; None if they are equal."""
    with (
        reading(target, has_deadline=False) as connection,
        _rows(source, table) as olds,
        _rows(connection, table) as news,
    ):
        for number, (old, new) in enumerate(zip_longest(olds, news), start=1):
            if old is None or new is None or tuple(old) != tuple(new):
                return f"row {number} of {table.name} is not the same in both"
    return None


def finish(target: Engine, tables: list[Table]) -> None:
    """Lets numbers go on after the copied ones, and gives the target the version that gateways look for."""
    with writing(target) as connection:
        for table in tables:
            for column in table.primary_key:
                if isinstance(column.type, Integer):
                    _continue_numbers(connection, table, column.name)
        _set_version(connection, migrations.MOVING, migrations.HEAD)


def _tables(source: Connection) -> list[Table]:
    metadata = MetaData()
    metadata.reflect(source)
    return [table for table in metadata.sorted_tables if table.name != _VERSION_TABLE]


def _in_order(table: Table, connection: Connection) -> Select[Any]:
    """By primary key, texts as bytes: SQLite's order, which PostgreSQL has under the name "C"."""
    is_sqlite = connection.dialect.name == "sqlite"
    keys = [
        column.collate("C") if isinstance(column.type, String) and not is_sqlite else column
        for column in table.primary_key
    ]
    return select(table).order_by(*keys)


def _rows(connection: Connection, table: Table) -> CursorResult[Any]:
    """All of them, in order, of which only some are in memory."""
    return connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(_in_order(table, connection))


def _insert(connection: Connection, table: Table, rows: Sequence[Row[Any]]) -> None:
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quote(column.name) for column in table.columns)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {quote(table.name)} ({columns}) FROM STDIN") as stream:
        for row in rows:
            stream.write_row(tuple(row))


@contextmanager
def _psycopg_errors(table: Table) -> Iterator[None]:
    """COPY goes past SQLAlchemy, and so do its errors."""
    from psycopg import DataError, Error  # noqa: PLC0415 - nobody on SQLite needs it

    try:
        yield
    except DataError as error:
        reason = str(error).partition("\n")[0]
        raise Conflict(f"PostgreSQL does not take a value of table {table.name}: {reason}.") from None
    except Error as error:
        raise StoreUnavailable("The PostgreSQL database is not available; start the same command again.") from error


def _continue_numbers(connection: Connection, table: Table, column: str) -> None:
    sequence = connection.execute(
        text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": table.name, "column": column}
    ).scalar()
    if sequence is not None:
        highest = connection.execute(select(func.max(table.c[column]))).scalar()
        connection.execute(
            text("SELECT setval(:sequence, :number, :used)"),
            {"sequence": sequence, "number": highest or 1, "used": highest is not None},
        )


def _set_version(connection: Connection, old: str, new: str) -> None:
    table = _VERSION_TABLE
    statement = text(f"UPDATE {table} SET version_num = :new WHERE version_num = :old")  # noqa: S608 - a name of ours
    if connection.execute(statement, {"old": old, "new": new}).rowcount != 1:
        raise Conflict("Another program uses the PostgreSQL database.")
