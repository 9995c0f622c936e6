"""Corrections of what expired too early, heartbeats, refused requests in daily totals, what edits sent in."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ID = sa.String(64)
_WORD = sa.String(16)


def upgrade() -> None:
    """Adds two tables and three columns. Refused requests of earlier days stand in their totals as released."""
    for name in ("input_images", "received_bytes"):
        op.add_column("reservations", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("usage_days", sa.Column("refused", sa.BigInteger(), server_default="0", nullable=False))
    _create_corrections()
    op.create_table(
        "heartbeats",
        sa.Column("instance", _ID, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("started_at_ms", "beat_at_ms", "interval_ms")),
        sa.PrimaryKeyConstraint("instance", name="pk_heartbeats"),
    )
    if op.get_bind().dialect.name == "postgresql":
        _protect_corrections_on_postgresql()
    else:
        _protect_corrections_on_sqlite()


def _create_corrections() -> None:
    op.create_table(
        "corrections",
        sa.Column("reservation_id", _ID, nullable=False),
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("team_id", _ID, nullable=True),
        sa.Column("model", sa.String(120), nullable=False),
        sa.Column("reserved_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("corrected_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("usage_source", _WORD, nullable=False),
        sa.Column("priced", sa.Boolean(), nullable=False),
        *(
            sa.Column(f"charged_{unit}", sa.BigInteger(), nullable=False)
            for unit in ("requests", "images", "tokens", "nanousd")
        ),
        *(
            sa.Column(f"{kind}_tokens", sa.BigInteger(), nullable=True)
            for kind in ("input_text", "input_image", "output_text", "output_image")
        ),
        sa.Column("client_left", sa.Boolean(), nullable=False),
        sa.Column("upstream_status", sa.Integer(), nullable=True),
        sa.Column("upstream_request_id", sa.String(128), nullable=True),
        sa.Column("first_byte_ms", sa.BigInteger(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reservation_id", name="pk_corrections"),
        sa.ForeignKeyConstraint(["reservation_id"], ["reservations.id"], name="fk_corrections_reservation_id"),
        sa.CheckConstraint("state IN ('settled', 'released')", name=op.f("ck_corrections_state_known")),
    )
    for owner in ("key_id", "user_id", "team_id"):
        op.create_index(f"ix_corrections_{owner}_reserved_at_ms", "corrections", [owner, "reserved_at_ms"])
    op.create_index("ix_corrections_reserved_at_ms", "corrections", ["reserved_at_ms"])


def _protect_corrections_on_postgresql() -> None:
    op.execute(
        """
        CREATE FUNCTION corrections_stay() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'a correction is never edited' USING ERRCODE = 'restrict_violation';
        END
        $$
        """
    )
    op.execute(
        "CREATE TRIGGER corrections_stay BEFORE UPDATE ON corrections "
        "FOR EACH STATEMENT EXECUTE FUNCTION corrections_stay()"
    )


def _protect_corrections_on_sqlite() -> None:
    """A later step that copies the table must make the triggers again."""
    for name, event in (
        ("update", "UPDATE ON corrections"),
        (
            "replace",
            "INSERT ON corrections WHEN EXISTS (SELECT 1 FROM corrections WHERE reservation_id = NEW.reservation_id)",
        ),
    ):
        op.execute(
            f"CREATE TRIGGER corrections_no_{name} BEFORE {event} "
            "BEGIN SELECT RAISE(ABORT, 'a correction is never edited'); END"
        )
