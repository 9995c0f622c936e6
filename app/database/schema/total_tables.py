"""Sums that outlive the reservations, and what ZenMux billed beside them."""

from sqlalchemy import BigInteger, Column, Index, String, Table

from app.database.schema.base import ID, NAME, metadata

# What `ledger prune` keeps of old reservations: sums by day, owner, model and account. team_id '': no team. Counters
# and reports add these to the remaining reservations.
usage_days = Table(
    "usage_days",
    metadata,
    Column("day_start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("key_id", ID, primary_key=True),
    Column("user_id", ID, primary_key=True),
    Column("team_id", ID, primary_key=True),
    Column("model", NAME, primary_key=True),
    Column("account", ID, primary_key=True, server_default="main"),
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

# One day, model and account of `ledger reconcile`: what the ledger charged and what ZenMux billed. The newest check
# replaces older ones. account '': all accounts were compared with one bill.
reconciliations = Table(
    "reconciliations",
    metadata,
    Column("day_start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("model", NAME, primary_key=True),
    Column("account", ID, primary_key=True, server_default=""),
    *(
        Column(f"{whose}_{what}", BigInteger, nullable=False)
        for whose in ("ledger", "billed")
        for what in ("requests", "nanousd")
    ),
    Column("checked_at_ms", BigInteger, nullable=False),
)

# Requests that were refused: how many, by the hour, who asked, and the error's code. user_id and key_id are '' where no
# key was recognized, or where an hour had too many different ones. Nothing writes it yet.
refusal_hours = Table(
    "refusal_hours",
    metadata,
    Column("hour_start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", ID, primary_key=True),
    Column("key_id", ID, primary_key=True),
    Column("code", String(64), primary_key=True),
    Column("count", BigInteger, nullable=False),
)
