"""What tests of attempts are made of."""

from typing import Any

from sqlalchemy import Engine, select

from app.database.clock import to_ms
from app.database.engine import reading
from app.database.schema import replay_tables
from app.quotas.ledger.attempts.rows import AttemptRow
from tests.quotas.making import NOON

NOON_MS = to_ms(NOON)


def a_row(id_: str = "r1", **fields: Any) -> AttemptRow:
    """An attempt that runs, without an idempotency key."""
    made = AttemptRow(id_, "key-1", "generation", None, "same", "one", "running", None, None, NOON_MS + 60_000)
    return made._replace(**fields)


def keyed(id_: str = "r1", **fields: Any) -> AttemptRow:
    return a_row(id_, idempotency_key="k", **fields)


def attempts(engine: Engine) -> dict[str, AttemptRow]:
    with reading(engine) as connection:
        rows = connection.execute(select(replay_tables.attempts)).mappings()
        return {row["request_id"]: AttemptRow(**row) for row in rows}
