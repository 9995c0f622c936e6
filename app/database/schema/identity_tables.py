"""Who may ask: users, their teams, keys and the hashes of their secrets."""

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, Table, Text

from app.database.schema.base import ID, NAME, metadata

teams = Table(
    "teams",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", NAME, nullable=False, unique=True),
    Column("created_at_ms", BigInteger, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", NAME, nullable=False, unique=True),
    Column("team_id", ID, ForeignKey("teams.id"), nullable=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("disabled_at_ms", BigInteger, nullable=True),
)

# A key's id is the public id inside `sk-zg-<public id>-<secret>`. Rotating adds a secret and keeps the id, so limits
# and usage stay with the key.
keys = Table(
    "keys",
    metadata,
    Column("id", ID, primary_key=True),
    Column("user_id", ID, ForeignKey("users.id"), nullable=False, index=True),
    Column("name", NAME, nullable=True),
    Column("models", Text, nullable=True),  # JSON list of catalog ids; NULL: every model
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=True),
    Column("disabled_at_ms", BigInteger, nullable=True),
)

key_secrets = Table(
    "key_secrets",
    metadata,
    Column("secret_sha256", LargeBinary(32), primary_key=True),
    Column("key_id", ID, ForeignKey("keys.id"), nullable=False, index=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=True),  # set when a rotation replaces it
)
