"""Jobs: image requests that their callers do not wait for."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_ID = sa.String(64)


def upgrade() -> None:
    """Adds a table."""
    op.create_table(
        "jobs",
        *(sa.Column(name, _ID, nullable=False) for name in ("id", "request_id", "key_id", "user_id")),
        sa.Column("operation", sa.String(16), nullable=False),
        sa.Column("model", sa.String(120), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger()),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("file_id", _ID),
        sa.Column("error_status", sa.Integer()),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_user_id_created_at_ms", "jobs", ["user_id", "created_at_ms"])
    op.create_index("ix_jobs_expires_at_ms", "jobs", ["expires_at_ms"])
