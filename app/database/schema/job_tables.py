"""Jobs: image requests that their callers do not wait for."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from app.database.schema.base import ID, NAME, metadata

# Written once the reservation of the same request is there, ended by the process that runs it. No prompt is here: what
# a job was asked for is only in the memory of that process.
jobs = Table(
    "jobs",
    metadata,
    Column("id", ID, primary_key=True),
    Column("request_id", ID, nullable=False),  # also of its reservation
    Column("key_id", ID, nullable=False),
    Column("user_id", ID, nullable=False),
    Column("operation", String(16), nullable=False),
    Column("model", NAME, nullable=False),
    Column("state", String(16), nullable=False),  # in_progress | completed | failed | cancelled | incomplete
    Column("created_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("file_id", ID),  # of a completed one's answer
    Column("error_status", Integer),
    Column("error", Text),  # the error as its caller would have got it, in JSON
    Index(None, "user_id", "created_at_ms"),
    Index(None, "expires_at_ms"),
)
