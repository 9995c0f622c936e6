"""Who may ask: users, their teams, keys and the hashes of their secrets."""

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, String, Table, Text

from app.database.schema.base import ID, NAME, metadata

# `managed_by`, here and in limits: the file that sets parts of the row, and which parts (JSON). NULL: no file.
teams = Table(
    "teams",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", NAME, nullable=False, unique=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("managed_by", Text, nullable=True),
)

users = Table(
    "users",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", NAME, nullable=False, unique=True),
    Column("team_id", ID, ForeignKey("teams.id"), nullable=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("disabled_at_ms", BigInteger, nullable=True),
    Column("role", String(16), nullable=False, server_default="member"),  # admin | auditor | lead | member
    Column("managed_by", Text, nullable=True),
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
    Column("role", String(16), nullable=True),  # what the key may administer; NULL: nothing, it is for images
    Column("managed_by", Text, nullable=True),
)

key_secrets = Table(
    "key_secrets",
    metadata,
    Column("secret_sha256", LargeBinary(32), primary_key=True),
    Column("key_id", ID, ForeignKey("keys.id"), nullable=False, index=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=True),  # set when a rotation replaces it
)
