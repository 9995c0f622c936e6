"""What was asked, held and charged: reservations and corrections, and the processes that make them."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, text

from app.database.schema.base import ID, NAME, metadata, partial_index

IS_EXPIRED = text("state = 'expired'")
IS_UNUSUAL = text("outcome <> 'completed'")
IS_PENDING = text("state = 'pending'")
"""As in the reservations' partial index, and without a parameter: otherwise SQLite does not use that index."""

# One row per request, written before its first byte is sent upstream, resolved once, never edited afterwards. `held_*`
# is the reservation. The resolution fills `charged_*` and the columns below it: the usage record.
reservations = Table(
    "reservations",
    metadata,
    Column("id", ID, primary_key=True),  # our request id
    Column("key_id", ID, nullable=False),
    Column("user_id", ID, nullable=False),
    Column("team_id", ID, nullable=True),
    Column("instance", ID, nullable=False),  # the process that made it
    Column("operation", String(16), nullable=False),
    Column("model", NAME, nullable=False),
    Column("size", String(16), nullable=False),
    Column("quality", String(16), nullable=False),
    Column("streamed", Boolean, nullable=False),
    Column("state", String(16), nullable=False),  # pending | settled | released | expired
    Column("reserved_at_ms", BigInteger, nullable=False),
    Column("dispatched_at_ms", BigInteger, nullable=True),  # set before the first byte goes upstream
    *(Column(name, BigInteger, nullable=True) for name in ("input_images", "received_bytes")),  # of an edit
    Column("fingerprint", ID, nullable=True),  # equal in equal requests; an HMAC under the gateway's secret
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("held_images", BigInteger, nullable=False),
    Column("held_tokens", BigInteger, nullable=False),
    Column("held_nanousd", BigInteger, nullable=False),
    Column("resolved_at_ms", BigInteger, nullable=True),
    Column("outcome", String(32), nullable=True),
    Column("usage_source", String(16), nullable=True),  # reported | estimated | none
    Column("priced", Boolean, nullable=True),  # False: the catalog has no price, charged_nanousd is the hold
    Column("charged_requests", BigInteger, nullable=True),
    Column("charged_images", BigInteger, nullable=True),
    Column("charged_tokens", BigInteger, nullable=True),
    Column("charged_nanousd", BigInteger, nullable=True),
    Column("input_text_tokens", BigInteger, nullable=True),
    Column("input_image_tokens", BigInteger, nullable=True),
    Column("output_text_tokens", BigInteger, nullable=True),
    Column("output_image_tokens", BigInteger, nullable=True),
    Column("client_left", Boolean, nullable=True),
    Column("upstream_status", Integer, nullable=True),
    Column("upstream_request_id", String(128), nullable=True),
    Column("first_byte_ms", BigInteger, nullable=True),
    Column("duration_ms", BigInteger, nullable=True),
    Column("account", ID, nullable=False, server_default="main"),  # the account of ZenMux it went to
    CheckConstraint("state IN ('pending', 'settled', 'released', 'expired')", name="state_known"),
    CheckConstraint("(state = 'pending') = (resolved_at_ms IS NULL)", name="resolved_once"),
    partial_index("ix_reservations_pending", "expires_at_ms", where=IS_PENDING),
    # For a retry of what a process left when it died.
    partial_index("ix_reservations_expired", "key_id", "fingerprint", where=IS_EXPIRED),
    # Of few rows, so that most settlements do not write it.
    partial_index("ix_reservations_unusual", "outcome", "reserved_at_ms", where=IS_UNUSUAL),
    Index(None, "key_id", "reserved_at_ms"),
    Index(None, "user_id", "reserved_at_ms"),
    Index(None, "team_id", "reserved_at_ms"),
    Index(None, "account", "reserved_at_ms"),
    Index(None, "reserved_at_ms"),
)

# How an expired reservation really ended, and how wrong its charge was. At most one per reservation, never edited (a
# trigger enforces it). Its owner and time are the reservation's, so every sum over reservations can add it.
corrections = Table(
    "corrections",
    metadata,
    Column("reservation_id", ID, ForeignKey("reservations.id"), primary_key=True),
    Column("key_id", ID, nullable=False),
    Column("user_id", ID, nullable=False),
    Column("team_id", ID, nullable=True),
    Column("model", NAME, nullable=False),
    Column("reserved_at_ms", BigInteger, nullable=False),
    Column("corrected_at_ms", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # settled | released: what the reservation would have become
    Column("outcome", String(32), nullable=False),
    Column("usage_source", String(16), nullable=False),
    Column("priced", Boolean, nullable=False),
    # The difference to the reservation's charge; below zero if the expiry charged too much.
    *(Column(f"charged_{unit}", BigInteger, nullable=False) for unit in ("requests", "images", "tokens", "nanousd")),
    Column("input_text_tokens", BigInteger, nullable=True),
    Column("input_image_tokens", BigInteger, nullable=True),
    Column("output_text_tokens", BigInteger, nullable=True),
    Column("output_image_tokens", BigInteger, nullable=True),
    Column("client_left", Boolean, nullable=False),
    Column("upstream_status", Integer, nullable=True),
    Column("upstream_request_id", String(128), nullable=True),
    Column("first_byte_ms", BigInteger, nullable=True),
    Column("duration_ms", BigInteger, nullable=False),
    Column("account", ID, nullable=False, server_default="main"),
    CheckConstraint("state IN ('settled', 'released')", name="state_known"),
    Index(None, "key_id", "reserved_at_ms"),
    Index(None, "user_id", "reserved_at_ms"),
    Index(None, "team_id", "reserved_at_ms"),
    Index(None, "reserved_at_ms"),
)

# One row per process, rewritten every `interval_ms`, in the database's own time: it shows the others that the process
# lives. A process that ended in good order leaves 0 in `beat_at_ms`.
heartbeats = Table(
    "heartbeats",
    metadata,
    Column("instance", ID, primary_key=True),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("beat_at_ms", BigInteger, nullable=False),
    Column("interval_ms", BigInteger, nullable=False),
)
