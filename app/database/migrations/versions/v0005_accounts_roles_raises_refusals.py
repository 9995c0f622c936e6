"""Which account a request went to, roles, what a file manages, raised limits, refusals by the hour."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_ID = sa.String(64)


def upgrade() -> None:
    """Adds columns and a table. Until now there was one account, and `main` is the name of the only one."""
    for table in ("reservations", "corrections"):
        op.add_column(table, sa.Column("account", _ID, server_default="main", nullable=False))
    op.create_index("ix_reservations_account_reserved_at_ms", "reservations", ["account", "reserved_at_ms"])
    op.add_column("users", sa.Column("role", sa.String(16), server_default="member", nullable=False))
    op.add_column("keys", sa.Column("role", sa.String(16), nullable=True))
    for table in ("teams", "users", "keys", "limits"):
        op.add_column(table, sa.Column("managed_by", sa.Text(), nullable=True))
    for name in ("raised_amount", "raised_until_ms"):
        op.add_column("limits", sa.Column(name, sa.BigInteger(), nullable=True))
    op.create_table(
        "refusal_hours",
        sa.Column("hour_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour_start_ms", "user_id", "key_id", "code", name="pk_refusal_hours"),
    )
    _add_account_to_key("usage_days", ("day_start_ms", "key_id", "user_id", "team_id", "model"), "main")
    _add_account_to_key("reconciliations", ("day_start_ms", "model"), "")
    op.create_table(
        "account_states",
        sa.Column("account", _ID, nullable=False),
        sa.Column("instance", _ID, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("why", sa.String(32), nullable=True),
        sa.Column("until_ms", sa.BigInteger(), nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "instance", name="pk_account_states"),
    )


def _add_account_to_key(table: str, key: tuple[str, ...], default: str) -> None:
    """SQLite copies the table for this."""
    with op.batch_alter_table(table) as altered:
        altered.add_column(sa.Column("account", _ID, server_default=default, nullable=False))
    with op.batch_alter_table(table) as altered:
        altered.drop_constraint(f"pk_{table}", type_="primary")
        altered.create_primary_key(f"pk_{table}", [*key, "account"])
