"""Queries of lists whose rows have a time, or are somebody's: all of them take the same words."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from app.admin_api.lists import PageQuery
from app.admin_api.times import Since, Until

Word = Annotated[str | None, Field(max_length=200)]


class TimesQuery(PageQuery):
    """Rows of a span of time."""

    since: Since = None
    until: Until = None

    def has(self, moment: datetime) -> bool:
        """Whether it is in the span."""
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)


class OwnersQuery(TimesQuery):
    """The same, of somebody."""

    user: Word = Field(None, description="Only of the user with this name or id.")
    team: Word = Field(None, description="Only of the team with this name or id.")
    key: Word = Field(None, description="Only of the key with this id.")

    def columns(self, *words: str) -> tuple[tuple[str, str], ...]:
        """What rows must have, by column: of those owners, and in the fields with these names."""
        owners = ((f"{name}_id", getattr(self, name)) for name in ("user", "team", "key"))
        asked = (*owners, *((name, getattr(self, name)) for name in words))
        return tuple((column, value) for column, value in asked if value is not None)
