"""The index of kept files, and the secrets that links and fingerprints are made with."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_ID = sa.String(64)
_NAME = sa.String(120)


def upgrade() -> None:
    """Adds two tables."""
    op.create_table(
        "files",
        sa.Column("id", _ID, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        *(sa.Column(name, _ID, nullable=False) for name in ("key_id", "user_id", "request_id")),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("content_type", _NAME, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("created_at_ms", "expires_at_ms")),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
    )
    for column in ("created_at_ms", "expires_at_ms"):
        op.create_index(f"ix_files_{column}", "files", [column])
    op.create_table(
        "secrets",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name="pk_secrets"),
    )
