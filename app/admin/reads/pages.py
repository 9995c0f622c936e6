"""What a use case of a long list returns: one page as JSON rows, and whether there are more. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.quotas.rules.limits import format_usd

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """`rows` are as the list's JSON has them."""

    rows: tuple[Row, ...]
    has_more: bool


def page_of_rows(rows: list[Row], limit: int) -> Page:
    """One more row than `limit` was read where there are more."""
    return Page(tuple(rows[:limit]), len(rows) > limit)


def amounts_json(row: Mapping[str, Any], prefix: str) -> Row:
    """The columns `<prefix>_images`, `_tokens` and `_nanousd`, the money as text in dollars too; null where unknown."""
    nanousd = row[f"{prefix}_nanousd"]
    return {
        **{f"{prefix}_{unit}": row[f"{prefix}_{unit}"] for unit in ("images", "tokens")},
        f"{prefix}_usd": None if nanousd is None else format_usd(nanousd),
        f"{prefix}_nanousd": nanousd,
    }
