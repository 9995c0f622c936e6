"""Reads the counter of administrative changes, which the gateway itself only raises and locks."""

from sqlalchemy import Connection, select

from app.database import schema


def read_revision(connection: Connection) -> int:
    """A number that is higher after every administrative change."""
    value: int = connection.execute(select(schema.revision.c.value)).scalar_one()
    return value
