"""The tables, their columns and constraints: one schema for SQLite and PostgreSQL. Contains no query.

Times are integer milliseconds since 1970 UTC, money is integer nano-USD. Text columns contain names, ids and closed
words only: no prompt, no image, no secret.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_id_type = String(64)
_name_type = String(120)
_autoincrement_type = BigInteger().with_variant(Integer, "sqlite")

IS_PENDING = text("state = 'pending'")
"""As in the reservations' partial index, and without a parameter: otherwise SQLite does not use that index."""

teams = Table(
    "teams",
    metadata,
    Column("id", _id_type, primary_key=True),
    Column("name", _name_type, nullable=False, unique=True),
    Column("created_at_ms", BigInteger, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", _id_type, primary_key=True),
    Column("name", _name_type, nullable=False, unique=True),
    Column("team_id", _id_type, ForeignKey("teams.id"), nullable=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("disabled_at_ms", BigInteger, nullable=True),
)

# A key's id is the public id inside `sk-zg-<public id>-<secret>`. Rotating adds a secret and keeps the id, so limits
# and usage stay with the key.
keys = Table(
    "keys",
    metadata,
    Column("id", _id_type, primary_key=True),
    Column("user_id", _id_type, ForeignKey("users.id"), nullable=False, index=True),
    Column("name", _name_type, nullable=True),
    Column("models", Text, nullable=True),  # JSON list of catalog ids; NULL: every model
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=True),
    Column("disabled_at_ms", BigInteger, nullable=True),
)

key_secrets = Table(
    "key_secrets",
    metadata,
    Column("secret_sha256", LargeBinary(32), primary_key=True),
    Column("key_id", _id_type, ForeignKey("keys.id"), nullable=False, index=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=True),  # set when a rotation replaces it
)

# scope: gateway | team | user | key | default (copied to every new user). scope_id: '' for gateway and default.
# window: minute | hour | day | week | month | total | now (for unit `concurrent`). model: '' or a catalog id.
limits = Table(
    "limits",
    metadata,
    Column("id", _autoincrement_type, primary_key=True, autoincrement=True),
    Column("scope", String(16), nullable=False),
    Column("scope_id", _id_type, nullable=False, server_default=""),
    Column("unit", String(16), nullable=False),
    Column("window", String(16), nullable=False),
    Column("model", _name_type, nullable=False, server_default=""),
    Column("amount", BigInteger, nullable=False),
    Column("shadow", Boolean, nullable=False, server_default=false()),
    Column("created_at_ms", BigInteger, nullable=False),
    UniqueConstraint("scope", "scope_id", "unit", "window", "model"),
    CheckConstraint("amount >= 0", name="amount_not_negative"),
)

# One row for each scope, model filter and window that some limit uses. A missing row is made from the reservations at
# its first use, so a counter always equals the sum of its rows.
counters = Table(
    "counters",
    metadata,
    Column("scope", String(16), primary_key=True),
    Column("scope_id", _id_type, primary_key=True),
    Column("model", _name_type, primary_key=True),
    Column("window", String(16), primary_key=True),
    Column("window_start_ms", BigInteger, primary_key=True),
    *(
        Column(f"{state}_{unit}", BigInteger, nullable=False, server_default="0")
        for state in ("settled", "pending")
        for unit in ("requests", "images", "tokens", "nanousd")
    ),
)

# One row per request, written before its first byte is sent upstream, resolved once, never edited afterwards. `held_*`
# is the reservation. The resolution fills `charged_*` and the columns below it: the usage record.
reservations = Table(
    "reservations",
    metadata,
    Column("id", _id_type, primary_key=True),  # our request id
    Column("key_id", _id_type, nullable=False),
    Column("user_id", _id_type, nullable=False),
    Column("team_id", _id_type, nullable=True),
    Column("instance", _id_type, nullable=False),  # the process that made it
    Column("operation", String(16), nullable=False),
    Column("model", _name_type, nullable=False),
    Column("size", String(16), nullable=False),
    Column("quality", String(16), nullable=False),
    Column("streamed", Boolean, nullable=False),
    Column("state", String(16), nullable=False),  # pending | settled | released | expired
    Column("reserved_at_ms", BigInteger, nullable=False),
    Column("dispatched_at_ms", BigInteger, nullable=True),  # set before the first byte goes upstream
    *(Column(name, BigInteger, nullable=True) for name in ("input_images", "received_bytes")),  # of an edit
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
    CheckConstraint("state IN ('pending', 'settled', 'released', 'expired')", name="state_known"),
    CheckConstraint("(state = 'pending') = (resolved_at_ms IS NULL)", name="resolved_once"),
    Index(
        "ix_reservations_pending",
        "expires_at_ms",
        sqlite_where=IS_PENDING,
        postgresql_where=IS_PENDING,
    ),
    Index(None, "key_id", "reserved_at_ms"),
    Index(None, "user_id", "reserved_at_ms"),
    Index(None, "team_id", "reserved_at_ms"),
    Index(None, "reserved_at_ms"),
)

# How an expired reservation really ended, and how wrong its charge was. At most one per reservation, never edited (a
# trigger enforces it). Its owner and time are the reservation's, so every sum over reservations can add it.
corrections = Table(
    "corrections",
    metadata,
    Column("reservation_id", _id_type, ForeignKey("reservations.id"), primary_key=True),
    Column("key_id", _id_type, nullable=False),
    Column("user_id", _id_type, nullable=False),
    Column("team_id", _id_type, nullable=True),
    Column("model", _name_type, nullable=False),
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
    Column("instance", _id_type, primary_key=True),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("beat_at_ms", BigInteger, nullable=False),
    Column("interval_ms", BigInteger, nullable=False),
)

# What `ledger prune` keeps of old reservations: sums by day, owner and model. team_id '': no team. Counters and reports
# add these to the remaining reservations.
usage_days = Table(
    "usage_days",
    metadata,
    Column("day_start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("key_id", _id_type, primary_key=True),
    Column("user_id", _id_type, primary_key=True),
    Column("team_id", _id_type, primary_key=True),
    Column("model", _name_type, primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in ("requests", "released", "estimated", "unpriced")),
    Column("refused", BigInteger, nullable=False, server_default="0"),
    *(Column(f"charged_{unit}", BigInteger, nullable=False) for unit in ("requests", "images", "tokens", "nanousd")),
    *(
        Column(f"{kind}_tokens", BigInteger, nullable=False)
        for kind in ("input_text", "input_image", "output_text", "output_image")
    ),
    Index(None, "key_id", "day_start_ms"),
    Index(None, "user_id", "day_start_ms"),
    Index(None, "team_id", "day_start_ms"),
)

# The usage of a limit crossed a percentage: one row per limit, window and percentage, written with the charge that
# crossed it. `next_try_at_ms` is when the webhook is due (again); NULL: nothing is left to send.
threshold_events = Table(
    "threshold_events",
    metadata,
    Column("id", _autoincrement_type, primary_key=True, autoincrement=True),
    Column("scope", String(16), nullable=False),
    Column("scope_id", _id_type, nullable=False),
    Column("unit", String(16), nullable=False),
    Column("window", String(16), nullable=False),
    Column("model", _name_type, nullable=False),
    Column("window_start_ms", BigInteger, nullable=False),
    Column("percent", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("shadow", Boolean, nullable=False),
    Column("crossed_at_ms", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("next_try_at_ms", BigInteger, nullable=True, index=True),
    UniqueConstraint(
        *("scope", "scope_id", "unit", "window", "model", "window_start_ms", "percent"),
        name="uq_threshold_events_once_a_window",
    ),
)

# One day and model of `ledger reconcile`: what the ledger charged and what ZenMux billed. The newest check replaces
# older ones.
reconciliations = Table(
    "reconciliations",
    metadata,
    Column("day_start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("model", _name_type, primary_key=True),
    *(
        Column(f"{whose}_{what}", BigInteger, nullable=False)
        for whose in ("ledger", "billed")
        for what in ("requests", "nanousd")
    ),
    Column("checked_at_ms", BigInteger, nullable=False),
)

# Every administrative change, in the transaction that made it. Triggers (migration 0002) prevent changing or deleting a
# row.
admin_events = Table(
    "admin_events",
    metadata,
    Column("id", _autoincrement_type, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("actor", _name_type, nullable=False),
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
