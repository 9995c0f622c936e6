"""Attempts of requests that may be made again: with an Idempotency-Key, or whose caller did not receive the answer."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, String, Table, UniqueConstraint

from app.database.schema.base import ID, metadata

# One row per attempt that another request may be answered with. It is written with its reservation if it has an
# Idempotency-Key, else when its caller is gone. `state`: running | kept (in the file `file_id`) | lost.
# `undelivered_at_ms` NULL: its caller is still connected, or has its answer; nobody takes it over.
attempts = Table(
    "attempts",
    metadata,
    Column("request_id", ID, primary_key=True),  # the reservation's
    Column("key_id", ID, nullable=False),
    Column("operation", String(16), nullable=False),
    Column("idempotency_key", ID, nullable=True),  # a digest of what the caller sent
    Column("fingerprint", ID, nullable=False),
    Column("instance", ID, nullable=False),  # the process that runs or ran it
    Column("state", String(16), nullable=False),
    Column("file_id", ID, nullable=True),
    Column("undelivered_at_ms", BigInteger, nullable=True),
    Column("expires_at_ms", BigInteger, nullable=False, index=True),
    UniqueConstraint("key_id", "operation", "idempotency_key", name="uq_attempts_idempotency_key"),
    CheckConstraint("state IN ('running', 'kept', 'lost')", name="state_known"),
    Index(None, "key_id", "fingerprint"),
)
