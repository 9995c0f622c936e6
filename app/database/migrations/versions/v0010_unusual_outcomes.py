"""Requests with an outcome that few have are found without reading all the others."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Adds one index."""
    is_unusual = sa.text("outcome <> 'completed'")
    op.create_index(
        "ix_reservations_unusual",
        "reservations",
        ["outcome", "reserved_at_ms"],
        sqlite_where=is_unusual,
        postgresql_where=is_unusual,
    )
