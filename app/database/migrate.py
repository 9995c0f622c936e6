"""Brings a database to the newest schema: all missing steps in one transaction, or none of them.

Alembic is imported only if there is a step to take; a start on a current database does not need it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from app.database import migrations
from app.database.engine import reading
from app.errors import Conflict

_LOCK_ID = 7_306_085_895_001_857_890  # any number that no other program on this PostgreSQL uses for its advisory locks


def upgrade(engine: Engine) -> None:
    """Brings the database to the newest schema. Idempotent; several processes may call it at once.

    A step that fails leaves schema and rows as they were before the call. Raises Conflict when the database
    comes from a newer version of the gateway or a step fails, StoreUnavailable when it does not answer.
    """
    if is_current(engine):
        return
    try:
        with _exclusive(engine) as connection:
            _run(connection)
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        raise Conflict(
            f"The database could not be brought to schema {migrations.HEAD} and is as it was before: {reason}."
        ) from error


def current(engine: Engine) -> str | None:
    """The schema's version in the database; None if nothing was ever migrated."""
    with reading(engine) as connection:
        return _version(connection)


def is_current(engine: Engine) -> bool:
    """Whether the database has the newest schema this version of the gateway knows."""
    return current(engine) == migrations.HEAD


def refuse_unknown(version: str | None) -> None:
    """Raises Conflict for a schema that this version of the gateway, and all earlier ones, do not know: `upgrade`
    cannot help.
    """
    if version == migrations.MOVING:
        raise Conflict("An SQLite database is being moved here, and not all of it is here yet: start `db move` again.")
    if version is not None and version not in _known():
        raise Conflict(
            f"The database has schema {version}, this version of the gateway knows schemas up to {migrations.HEAD}; "
            "install the newer gateway again, or go back to a backup."
        )


def _known() -> set[str]:
    """Every schema that has a step. The file of each step begins with its number."""
    steps = (Path(migrations.__file__).parent / "versions").glob("v[0-9]*.py")
    return {step.name[1:].partition("_")[0] for step in steps}


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


@contextmanager
def _exclusive(engine: Engine) -> Iterator[Connection]:
    """One writing transaction; no other migration runs at the same time."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            with _unchecked_foreign_keys(connection), connection.begin():
                yield connection
        else:
            with connection.begin():
                # A step may take any time, but does not block the gateway for ever.
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SET LOCAL lock_timeout = '5min'"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
                yield connection


@contextmanager
def _unchecked_foreign_keys(connection: Connection) -> Iterator[None]:
    """SQLite changes most things by copying a table and dropping the old one, which active foreign keys forbid.

    The switch has no effect inside a transaction, so it is set on the driver's connection, outside of one.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys = ON")


def _run(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - see the module's docstring
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    refuse_unknown(_version(connection))
    command.upgrade(config, "head")
    if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
        raise Conflict("The migration would leave rows that refer to nothing; the database is as it was before.")
