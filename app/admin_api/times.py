"""Moments in queries and bodies: ISO 8601, in UTC if no zone is given. Pure."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _moment(written: object) -> datetime:
    """Raises ValueError for what is no time, or one that no record can have."""
    try:
        moment = datetime.fromisoformat(str(written).strip()) if isinstance(written, str) else None
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise ValueError("write a date or time as 2026-11-01 or 2026-11-01T18:00Z")
    zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    if not _EARLIEST <= zoned <= _LATEST:
        raise ValueError("it is not between 1970 and 2200")
    return zoned.astimezone(UTC)


Moment = Annotated[
    datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "examples": ["2026-11-01T18:00:00Z"]})
]
Since = Annotated[Moment | None, Field(description="From then on: 2026-11-01 or 2026-11-01T18:00Z (UTC).")]
Until = Annotated[Moment | None, Field(description="Before that moment.")]
