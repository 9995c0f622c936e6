"""What operators changed, and the number that tells it to a running gateway."""

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text

from app.database.schema.base import AUTOINCREMENT, NAME, metadata

# Every administrative change, in the transaction that made it. Triggers (migration 0002) prevent changing or deleting a
# row.
admin_events = Table(
    "admin_events",
    metadata,
    Column("id", AUTOINCREMENT, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("actor", NAME, nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String(200), nullable=False),
    Column("before", Text, nullable=True),  # JSON
    Column("after", Text, nullable=True),  # JSON
)

# One row with one number, which every administrative change raises. It tells a running gateway that its cached keys and
# limits are old.
revision = Table(
    "revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)
