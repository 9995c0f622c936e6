"""Sessions of the console, and the links that open one."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_ID = sa.String(64)


def upgrade() -> None:
    """Adds two tables."""
    op.create_table(
        "sessions",
        sa.Column("id", _ID, nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("user_id", _ID, nullable=True),
        sa.Column("role", sa.String(16), nullable=True),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("user_agent", sa.String(120), nullable=False),
        *(sa.Column(f"{name}_at_ms", sa.BigInteger(), nullable=False) for name in ("created", "seen", "ends")),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id"),
        sa.UniqueConstraint("token_sha256", name="uq_sessions_token_sha256"),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_table(
        "login_links",
        sa.Column("token_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("role", sa.String(16), nullable=True),
        sa.Column("is_direct", sa.Boolean(), nullable=False),
        *(sa.Column(f"{name}_at_ms", sa.BigInteger(), nullable=False) for name in ("created", "expires")),
        sa.PrimaryKeyConstraint("token_sha256", name="pk_login_links"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_login_links_user_id"),
    )
