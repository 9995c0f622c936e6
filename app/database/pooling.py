"""Detects a pooler that gives each transaction another PostgreSQL session. Changes nothing in the database."""

from sqlalchemy import Connection, Engine, text

from app.database.engine import store_errors
from app.errors import ConfigurationError


def refuse_transaction_pooling(engine: Engine) -> None:
    """Returns if every connection keeps its session, as SQLite's always do.

    Raises ConfigurationError if a pooler is in transaction mode, StoreUnavailable if the database does not answer.
    """
    if engine.dialect.name != "postgresql":
        return
    with store_errors(), engine.connect() as first, engine.connect() as second:
        before = _session(first)
        first.rollback()
        beside = _session(second)  # its transaction stays open, so a pooler cannot give its session to the first
        if before == beside or before != _session(first):
            raise ConfigurationError(
                "GATEWAY_DATABASE_URL leads to a pooler in transaction mode (pgbouncer's pool_mode=transaction, port "
                "6543 at some hosts). The ledger keeps settings in its session: use session mode, or connect to "
                "PostgreSQL itself."
            )


def _session(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
