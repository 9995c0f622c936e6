"""Sums that outlive the reservations, what ZenMux billed beside them, and what was refused."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from app.database.schema.base import ID, NAME, metadata

TOTAL_WORDS = ("key_id", "user_id", "team_id", "model", "operation", "size", "quality", "outcome", "account")
"""What a total is about, beside its time."""

TOTAL_SUMS = (
    *("requests", "released", "refused", "estimated", "unpriced"),
    *("charged_requests", "charged_images", "charged_tokens", "charged_nanousd"),
    *("input_text_tokens", "input_image_tokens", "output_text_tokens", "output_image_tokens"),
)
"""What a total adds up of each resolved reservation and of its correction."""


def _totals(name: str, start: str) -> Table:
    return Table(
        name,
        metadata,
        Column(start, BigInteger, primary_key=True, autoincrement=False),
        *(Column(word, NAME if word == "model" else ID, primary_key=True) for word in TOTAL_WORDS),
        *(Column(each, BigInteger, nullable=False) for each in TOTAL_SUMS),
        *(Index(None, owner, start) for owner in ("key_id", "user_id", "team_id")),
    )


# Sums of the resolved reservations made in an hour or a UTC day, written with each resolution, and kept when `ledger
# prune` deletes the reservations. team_id '': no team. A correction stands beside its reservation, under `expired`.
# operation, size, quality and outcome are '' in days that were pruned before schema 0007, and these have no hours.
usage_hours = _totals("usage_hours", "hour_start_ms")
usage_days = _totals("usage_days", "day_start_ms")

# One row, once something was pruned: reservations made before `until_ms` may be gone, and only their totals are left.
pruning = Table(
    "pruning",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("until_ms", BigInteger, nullable=False),
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
# key was recognized, and 'other' where a process had to count too many different ones.
refusal_hours = Table(
    "refusal_hours",
    metadata,
    Column("hour_start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", ID, primary_key=True),
    Column("key_id", ID, primary_key=True),
    Column("code", String(64), primary_key=True),
    Column("count", BigInteger, nullable=False),
)
