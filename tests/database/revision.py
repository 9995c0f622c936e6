"""Reads the counter of administrative changes, which the gateway itself only raises and locks."""

from sqlalchemy import Connection, select

from app.database.schema import change_tables


def read_revision(connection: Connection) -> int:
    """A number that is higher after every administrative change."""
    value: int = connection.execute(select(change_tables.revision.c.value)).scalar_one()
    return value
