"""Secrets that all processes of one database share, made at first use and replaced by a rotation. The newest of a name
is what new things are made with; older ones are kept until somebody drops them.
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine, delete, insert, select

from app.database.clock import from_ms, to_ms
from app.database.engine import reading, writing
from app.database.schema import file_tables

_table = file_tables.secrets

SECRET_BYTES = 32


class Secret(NamedTuple):
    """One version of a secret. The versions of a name count from 1."""

    version: int
    value: bytes
    created_at: datetime


def secret(engine: Engine, name: str, random_bytes: bytes, now: datetime) -> bytes:
    """The newest secret of that name: `random_bytes`, if there was none. All processes get the same one. Blocks.
    Raises StoreUnavailable.
    """
    found = kept_secrets(engine, name)
    if not found:
        with writing(engine) as connection:
            _lock(connection)
            found = secrets_of(connection, name)
            if not found:
                return _add(connection, name, Secret(1, random_bytes, now)).value
    return found[0].value


def kept_secrets(engine: Engine, name: str) -> list[Secret]:
    """Every version that is kept, the newest first. Blocks. Raises StoreUnavailable."""
    with reading(engine) as connection:
        return secrets_of(connection, name)


def secrets_of(connection: Connection, name: str) -> list[Secret]:
    """The same, in a transaction."""
    columns = _table.c.version, _table.c.value, _table.c.created_at_ms
    rows = connection.execute(select(*columns).where(_table.c.name == name).order_by(_table.c.version.desc()))
    return [Secret(version, bytes(value), from_ms(created_at_ms)) for version, value, created_at_ms in rows]


def rotate_secret(connection: Connection, name: str, random_bytes: bytes, now: datetime) -> Secret:
    """Makes a new version, and keeps the older ones. Raises StoreUnavailable."""
    _lock(connection)
    versions = secrets_of(connection, name)
    return _add(connection, name, Secret(versions[0].version + 1 if versions else 1, random_bytes, now))


def drop_secrets(connection: Connection, name: str, before_version: int) -> None:
    """Forgets the versions below that one. Raises StoreUnavailable."""
    connection.execute(delete(_table).where(_table.c.name == name, _table.c.version < before_version))


def _lock(connection: Connection) -> None:
    """Nobody else makes a secret until this transaction ends. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE secrets IN SHARE ROW EXCLUSIVE MODE")


def _add(connection: Connection, name: str, made: Secret) -> Secret:
    values = {"version": made.version, "value": made.value, "created_at_ms": to_ms(made.created_at)}
    connection.execute(insert(_table).values(name=name, **values))
    return made
