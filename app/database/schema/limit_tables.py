"""What may be spent: limits, the counters they are checked against, the thresholds that were crossed."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from app.database.schema.base import AUTOINCREMENT, ID, NAME, metadata

# scope: gateway | team | user | key | default (copied to every new user). scope_id: '' for gateway and default.
# Until `raised_until_ms`, the limit allows `raised_amount`. NULL: it is not raised.
# window: minute | hour | day | week | month | total | now (for unit `concurrent`). model: '' or a catalog id.
limits = Table(
    "limits",
    metadata,
    Column("id", AUTOINCREMENT, primary_key=True, autoincrement=True),
    Column("scope", String(16), nullable=False),
    Column("scope_id", ID, nullable=False, server_default=""),
    Column("unit", String(16), nullable=False),
    Column("window", String(16), nullable=False),
    Column("model", NAME, nullable=False, server_default=""),
    Column("amount", BigInteger, nullable=False),
    Column("shadow", Boolean, nullable=False, server_default=false()),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("managed_by", Text, nullable=True),
    Column("raised_amount", BigInteger, nullable=True),
    Column("raised_until_ms", BigInteger, nullable=True),
    UniqueConstraint("scope", "scope_id", "unit", "window", "model"),
    CheckConstraint("amount >= 0", name="amount_not_negative"),
)

# One row for each scope, model filter and window that some limit uses. A missing row is made from the reservations at
# its first use, so a counter always equals the sum of its rows.
counters = Table(
    "counters",
    metadata,
    Column("scope", String(16), primary_key=True),
    Column("scope_id", ID, primary_key=True),
    Column("model", NAME, primary_key=True),
    Column("window", String(16), primary_key=True),
    Column("window_start_ms", BigInteger, primary_key=True),
    *(
        Column(f"{state}_{unit}", BigInteger, nullable=False, server_default="0")
        for state in ("settled", "pending")
        for unit in ("requests", "images", "tokens", "nanousd")
    ),
)

# The usage of a limit crossed a percentage: one row per limit, window and percentage, written with the charge that
# crossed it. `next_try_at_ms` is when the webhook is due (again); NULL: nothing is left to send.
threshold_events = Table(
    "threshold_events",
    metadata,
    Column("id", AUTOINCREMENT, primary_key=True, autoincrement=True),
    Column("scope", String(16), nullable=False),
    Column("scope_id", ID, nullable=False),
    Column("unit", String(16), nullable=False),
    Column("window", String(16), nullable=False),
    Column("model", NAME, nullable=False),
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
