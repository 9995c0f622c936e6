"""Attempts that a retry may be answered with, and fingerprints of requests."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_ID = sa.String(64)


def upgrade() -> None:
    """Adds one table, one column and one index. Requests made before have no fingerprint: nothing takes them over."""
    op.add_column("reservations", sa.Column("fingerprint", _ID, nullable=True))
    is_expired = sa.text("state = 'expired'")
    op.create_index(
        "ix_reservations_expired",
        "reservations",
        ["key_id", "fingerprint"],
        sqlite_where=is_expired,
        postgresql_where=is_expired,
    )
    op.create_table(
        "attempts",
        sa.Column("request_id", _ID, nullable=False),
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("operation", sa.String(16), nullable=False),
        sa.Column("idempotency_key", _ID, nullable=True),
        sa.Column("fingerprint", _ID, nullable=False),
        sa.Column("instance", _ID, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("file_id", _ID, nullable=True),
        sa.Column("undelivered_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_attempts"),
        sa.UniqueConstraint("key_id", "operation", "idempotency_key", name="uq_attempts_idempotency_key"),
        sa.CheckConstraint("state IN ('running', 'kept', 'lost')", name=op.f("ck_attempts_state_known")),
    )
    op.create_index("ix_attempts_expires_at_ms", "attempts", ["expires_at_ms"])
    op.create_index("ix_attempts_key_id_fingerprint", "attempts", ["key_id", "fingerprint"])
