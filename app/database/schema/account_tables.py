"""The ZenMux accounts: what each process has learnt of them, and what an operator says."""

from sqlalchemy import BigInteger, Column, String, Table

from app.database.schema.base import ID, metadata

# `instance` is the process that says so; '' for an operator, whose word counts for all. `until_ms` NULL: nobody knows.
account_states = Table(
    "account_states",
    metadata,
    Column("account", ID, primary_key=True),
    Column("instance", ID, primary_key=True),
    Column("state", String(16), nullable=False),  # up | resting | down
    Column("why", String(32), nullable=True),
    Column("until_ms", BigInteger, nullable=True),
    Column("at_ms", BigInteger, nullable=False),
)
