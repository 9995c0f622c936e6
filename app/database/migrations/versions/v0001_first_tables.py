"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.String(64)
_NAME = sa.String(120)
_WORD = sa.String(16)
_AUTOINCREMENT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Creates every table, and the one row of `revision`."""
    _create_people()
    _create_keys()
    _create_limits()
    _create_reservations()
    _create_changes()


def _create_people() -> None:
    op.create_table(
        "teams",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_teams"),
        sa.UniqueConstraint("name", name="uq_teams_name"),
    )
    op.create_table(
        "users",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("team_id", _ID, nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_users_team_id"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
    )


def _create_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("name", _NAME, nullable=True),
        sa.Column("models", sa.Text(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("disabled_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_keys_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
    )
    op.create_index("ix_keys_user_id", "keys", ["user_id"])
    op.create_table(
        "key_secrets",
        sa.Column("secret_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name="fk_key_secrets_key_id"),
        sa.PrimaryKeyConstraint("secret_sha256", name="pk_key_secrets"),
    )
    op.create_index("ix_key_secrets_key_id", "key_secrets", ["key_id"])


def _create_limits() -> None:
    op.create_table(
        "limits",
        sa.Column("id", _AUTOINCREMENT, autoincrement=True, nullable=False),
        sa.Column("scope", _WORD, nullable=False),
        sa.Column("scope_id", _ID, server_default="", nullable=False),
        sa.Column("unit", _WORD, nullable=False),
        sa.Column("window", _WORD, nullable=False),
        sa.Column("model", _NAME, server_default="", nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("shadow", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_limits_amount_not_negative")),
        sa.PrimaryKeyConstraint("id", name="pk_limits"),
        sa.UniqueConstraint(
            "scope", "scope_id", "unit", "window", "model", name="uq_limits_scope_scope_id_unit_window_model"
        ),
    )
    op.create_table(
        "counters",
        sa.Column("scope", _WORD, nullable=False),
        sa.Column("scope_id", _ID, nullable=False),
        sa.Column("model", _NAME, nullable=False),
        sa.Column("window", _WORD, nullable=False),
        sa.Column("window_start_ms", sa.BigInteger(), nullable=False),
        *(
            sa.Column(f"{state}_{unit}", sa.BigInteger(), server_default="0", nullable=False)
            for state in ("settled", "pending")
            for unit in ("requests", "images", "tokens", "nanousd")
        ),
        sa.PrimaryKeyConstraint("scope", "scope_id", "model", "window", "window_start_ms", name="pk_counters"),
    )


def _create_reservations() -> None:
    op.create_table(
        "reservations",
        sa.Column("id", _ID, nullable=False),
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("team_id", _ID, nullable=True),
        sa.Column("instance", _ID, nullable=False),
        sa.Column("operation", _WORD, nullable=False),
        sa.Column("model", _NAME, nullable=False),
        sa.Column("size", _WORD, nullable=False),
        sa.Column("quality", _WORD, nullable=False),
        sa.Column("streamed", sa.Boolean(), nullable=False),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("reserved_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("dispatched_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        *(sa.Column(f"held_{unit}", sa.BigInteger(), nullable=False) for unit in ("images", "tokens", "nanousd")),
        sa.Column("resolved_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(32), nullable=True),
        sa.Column("usage_source", _WORD, nullable=True),
        sa.Column("priced", sa.Boolean(), nullable=True),
        *(
            sa.Column(f"charged_{unit}", sa.BigInteger(), nullable=True)
            for unit in ("requests", "images", "tokens", "nanousd")
        ),
        *(
            sa.Column(f"{kind}_tokens", sa.BigInteger(), nullable=True)
            for kind in ("input_text", "input_image", "output_text", "output_image")
        ),
        sa.Column("client_left", sa.Boolean(), nullable=True),
        sa.Column("upstream_status", sa.Integer(), nullable=True),
        sa.Column("upstream_request_id", sa.String(128), nullable=True),
        sa.Column("first_byte_ms", sa.BigInteger(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'settled', 'released', 'expired')", name=op.f("ck_reservations_state_known")
        ),
        sa.CheckConstraint(
            "(state = 'pending') = (resolved_at_ms IS NULL)", name=op.f("ck_reservations_resolved_once")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_reservations"),
    )
    pending = sa.text("state = 'pending'")
    op.create_index(
        "ix_reservations_pending", "reservations", ["expires_at_ms"], sqlite_where=pending, postgresql_where=pending
    )
    for columns in (["key_id", "reserved_at_ms"], ["user_id", "reserved_at_ms"], ["team_id", "reserved_at_ms"]):
        op.create_index(f"ix_reservations_{'_'.join(columns)}", "reservations", columns)
    op.create_index("ix_reservations_reserved_at_ms", "reservations", ["reserved_at_ms"])


def _create_changes() -> None:
    op.create_table(
        "admin_events",
        sa.Column("id", _AUTOINCREMENT, autoincrement=True, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", _NAME, nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target", sa.String(200), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_admin_events"),
    )
    op.create_index("ix_admin_events_at_ms", "admin_events", ["at_ms"])
    revision_table = op.create_table(
        "revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_revision"),
    )
    op.bulk_insert(revision_table, [{"id": 1, "value": 0}])
