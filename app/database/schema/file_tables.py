"""What is kept in files, and the secrets that links and fingerprints are made with."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table

from app.database.schema.base import ID, NAME, metadata

# One row for each whole file in the folder or bucket, written when its last byte is there. What is in it is named by
# `id` alone, which nobody can guess.
files = Table(
    "files",
    metadata,
    Column("id", ID, primary_key=True),
    Column("kind", String(16), nullable=False),  # image | answer
    Column("key_id", ID, nullable=False),
    Column("user_id", ID, nullable=False),
    Column("request_id", ID, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("content_type", NAME, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Index(None, "created_at_ms"),
    Index(None, "expires_at_ms"),
)

# Made by the gateway for itself: links are signed with them, and fingerprints of requests. The only secrets here that
# can be read back; whoever reads them can make links, not keys.
secrets = Table(
    "secrets",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("value", LargeBinary, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)
