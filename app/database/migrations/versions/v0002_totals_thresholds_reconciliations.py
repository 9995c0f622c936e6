"""Daily totals of pruned reservations, thresholds that were crossed, days compared with the bill; the list of
administrative changes can only grow."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.String(64)
_NAME = sa.String(120)
_WORD = sa.String(16)
_AUTOINCREMENT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds three tables, and triggers to one that is there."""
    _create_usage_days()
    _create_threshold_events()
    op.create_table(
        "reconciliations",
        sa.Column("day_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("model", _NAME, nullable=False),
        *(
            sa.Column(f"{whose}_{what}", sa.BigInteger(), nullable=False)
            for whose in ("ledger", "billed")
            for what in ("requests", "nanousd")
        ),
        sa.Column("checked_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day_start_ms", "model", name="pk_reconciliations"),
    )
    if op.get_bind().dialect.name == "postgresql":
        _protect_admin_events_on_postgresql()
    else:
        _protect_admin_events_on_sqlite()


def _protect_admin_events_on_postgresql() -> None:
    op.execute(
        """
        CREATE FUNCTION admin_events_only_grow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'admin_events only grows' USING ERRCODE = 'restrict_violation';
        END
        $$
        """
    )
    op.execute(
        "CREATE TRIGGER admin_events_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON admin_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION admin_events_only_grow()"
    )


def _protect_admin_events_on_sqlite() -> None:
    """A later step that copies the table must make the triggers again."""
    for name, event in (
        ("update", "UPDATE ON admin_events"),
        ("delete", "DELETE ON admin_events"),
        # INSERT OR REPLACE deletes without asking the trigger above.
        ("replace", "INSERT ON admin_events WHEN EXISTS (SELECT 1 FROM admin_events WHERE id = NEW.id)"),
    ):
        op.execute(
            f"CREATE TRIGGER admin_events_no_{name} BEFORE {event} "
            "BEGIN SELECT RAISE(ABORT, 'admin_events only grows'); END"
        )


def _create_usage_days() -> None:
    op.create_table(
        "usage_days",
        sa.Column("day_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("team_id", _ID, nullable=False),
        sa.Column("model", _NAME, nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("requests", "released", "estimated", "unpriced")
        ),
        *(
            sa.Column(f"charged_{unit}", sa.BigInteger(), nullable=False)
            for unit in ("requests", "images", "tokens", "nanousd")
        ),
        *(
            sa.Column(f"{kind}_tokens", sa.BigInteger(), nullable=False)
            for kind in ("input_text", "input_image", "output_text", "output_image")
        ),
        sa.PrimaryKeyConstraint("day_start_ms", "key_id", "user_id", "team_id", "model", name="pk_usage_days"),
    )
    for owner in ("key_id", "user_id", "team_id"):
        op.create_index(f"ix_usage_days_{owner}_day_start_ms", "usage_days", [owner, "day_start_ms"])


def _create_threshold_events() -> None:
    op.create_table(
        "threshold_events",
        sa.Column("id", _AUTOINCREMENT, autoincrement=True, nullable=False),
        sa.Column("scope", _WORD, nullable=False),
        sa.Column("scope_id", _ID, nullable=False),
        sa.Column("unit", _WORD, nullable=False),
        sa.Column("window", _WORD, nullable=False),
        sa.Column("model", _NAME, nullable=False),
        sa.Column("window_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("shadow", sa.Boolean(), nullable=False),
        sa.Column("crossed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_try_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_threshold_events"),
        sa.UniqueConstraint(
            *("scope", "scope_id", "unit", "window", "model", "window_start_ms", "percent"),
            name="uq_threshold_events_once_a_window",
        ),
    )
    op.create_index("ix_threshold_events_next_try_at_ms", "threshold_events", ["next_try_at_ms"])
