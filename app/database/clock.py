"""Times as the tables hold them: integer milliseconds since 1970 UTC. Reads no clock."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Gives the time as an aware datetime in UTC."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DAY_MS = 86_400_000


def to_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970 UTC, rounded down. `moment` is aware; a naive one raises TypeError."""
    since = moment - _EPOCH  # its seconds and microseconds are never negative
    return since.days * _DAY_MS + since.seconds * 1000 + since.microseconds // 1000


def from_ms(milliseconds: int) -> datetime:
    """The aware UTC datetime of `milliseconds` since 1970."""
    return _EPOCH + milliseconds * _MILLISECOND
