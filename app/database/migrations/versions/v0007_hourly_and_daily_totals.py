"""Totals of every hour and day, with size, quality, operation, outcome and account, for all reservations there are."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_DAY_MS = 24 * 3_600_000
_WORDS = ("key_id", "user_id", "team_id", "model", "operation", "size", "quality", "outcome", "account")
_CHARGED = (
    *("charged_requests", "charged_images", "charged_tokens", "charged_nanousd"),
    *("input_text_tokens", "input_image_tokens", "output_text_tokens", "output_image_tokens"),
)
_COUNTED = ("requests", "released", "refused", "estimated", "unpriced")
_OF_ROWS = {
    "requests": "1",
    "released": "CASE WHEN r.charged_requests = 0 THEN 1 ELSE 0 END",
    "refused": "CASE WHEN r.charged_requests = 1 AND r.usage_source = 'none' THEN 1 ELSE 0 END",
    "estimated": "CASE WHEN r.usage_source = 'estimated' THEN 1 ELSE 0 END",
    "unpriced": "CASE WHEN NOT r.priced AND r.usage_source <> 'none' THEN 1 ELSE 0 END",
    **{name: f"COALESCE(r.{name}, 0)" for name in _CHARGED},
}
_WAS_ESTIMATED = "(c.charged_requests = -1 OR (c.charged_requests = 0 AND c.state = 'settled'))"
_OF_CORRECTIONS = {
    "requests": "0",
    "released": "-c.charged_requests",
    "refused": "CASE WHEN c.state = 'settled' AND c.usage_source = 'none' THEN 1 ELSE 0 END",
    "estimated": (
        f"CASE WHEN c.usage_source = 'estimated' THEN 1 ELSE 0 END - CASE WHEN {_WAS_ESTIMATED} THEN 1 ELSE 0 END"
    ),
    "unpriced": "CASE WHEN NOT c.priced AND c.usage_source <> 'none' THEN 1 ELSE 0 END",
    **{name: f"COALESCE(c.{name}, 0)" for name in _CHARGED},
}


def upgrade() -> None:
    """What is left of days that were pruned before tells no size, quality, operation or outcome: these are ''."""
    op.execute("CREATE TABLE usage_days_before AS SELECT * FROM usage_days")
    op.drop_table("usage_days")
    for table, start in (("usage_hours", "hour_start_ms"), ("usage_days", "day_start_ms")):
        _create(table, start)
    op.create_table(
        "pruning",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pruning"),
    )
    _fill_hours()
    sums = (*_COUNTED, *_CHARGED)
    columns = ", ".join(("day_start_ms", *_WORDS, *sums))
    op.execute(
        f"INSERT INTO usage_days ({columns}) "  # noqa: S608 - names of ours, as below
        f"SELECT hour_start_ms / {_DAY_MS} * {_DAY_MS}, {', '.join(_WORDS)}, "
        f"{', '.join(f'SUM({name})' for name in sums)} FROM usage_hours "
        f"GROUP BY hour_start_ms / {_DAY_MS}, {', '.join(_WORDS)}"
    )
    op.execute(
        f"INSERT INTO usage_days ({columns}) "  # noqa: S608 - as above
        f"SELECT day_start_ms, key_id, user_id, team_id, model, '', '', '', '', account, {', '.join(sums)} "
        "FROM usage_days_before"
    )
    op.execute(
        f"INSERT INTO pruning (id, until_ms) SELECT 1, MAX(day_start_ms) + {_DAY_MS} "  # noqa: S608 - as above
        "FROM usage_days_before HAVING COUNT(*) > 0"
    )
    op.drop_table("usage_days_before")


def _create(table: str, start: str) -> None:
    op.create_table(
        table,
        sa.Column(start, sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(word, sa.String(120 if word == "model" else 64), nullable=False) for word in _WORDS),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in (*_COUNTED, *_CHARGED)),
        sa.PrimaryKeyConstraint(start, *_WORDS, name=f"pk_{table}"),
    )
    for owner in ("key_id", "user_id", "team_id"):
        op.create_index(f"ix_{table}_{owner}_{start}", table, [owner, start])


def _fill_hours() -> None:
    """Reservations and their corrections in one go: a correction counts in its reservation's total."""
    owner = "r.key_id, r.user_id, COALESCE(r.team_id, '') AS team_id, r.model, r.operation, r.size, r.quality"
    words = f"r.reserved_at_ms / 3600000 * 3600000 AS hour_start_ms, {owner}, r.outcome, r.account"

    def values(sums: dict[str, str]) -> str:
        return ", ".join(f"{sums[name]} AS {name}" for name in (*_COUNTED, *_CHARGED))

    op.execute(
        f"INSERT INTO usage_hours (hour_start_ms, {', '.join((*_WORDS, *_COUNTED, *_CHARGED))}) "  # noqa: S608 - as above
        f"SELECT hour_start_ms, {', '.join(_WORDS)}, "
        f"{', '.join(f'SUM({name})' for name in (*_COUNTED, *_CHARGED))} FROM ("
        f"SELECT {words}, {values(_OF_ROWS)} FROM reservations AS r WHERE r.state <> 'pending' UNION ALL "
        f"SELECT {words}, {values(_OF_CORRECTIONS)} FROM corrections AS c "
        "JOIN reservations AS r ON r.id = c.reservation_id"
        f") AS parts GROUP BY hour_start_ms, {', '.join(_WORDS)}"
    )
