"""When a limit's window began and when it ends: UTC calendar arithmetic, pure. Reads no clock and remembers nothing,
so a clock that steps back simply falls into the earlier window again."""

from datetime import UTC, datetime

from app.database.clock import from_ms, to_ms
from app.quotas.rules.limits import Window

_MINUTE_MS = 60_000
DAY_MS = 24 * 60 * _MINUTE_MS
FOREVER_MS = 2**63 - 1
"""The end of `total`."""

_FIRST_MONDAY_MS = 4 * DAY_MS  # 1970 began on a Thursday

# Length, and a moment at which one of them began. UTC has no summer time, and leap seconds are not in our clocks.
_REGULAR = {
    Window.MINUTE: (_MINUTE_MS, 0),
    Window.HOUR: (60 * _MINUTE_MS, 0),
    Window.DAY: (DAY_MS, 0),
    Window.WEEK: (7 * DAY_MS, _FIRST_MONDAY_MS),
}


def span_ms(window: Window, at_ms: int) -> tuple[int, int]:
    """The first millisecond of the window that `at_ms` is in, and the first one after it.

    `total` and `now` began in 1970 and end at FOREVER_MS.
    """
    if window in _REGULAR:
        length, origin = _REGULAR[window]
        start = at_ms - (at_ms - origin) % length
        return start, start + length
    if window is Window.MONTH:
        moment = from_ms(at_ms)
        first = datetime(moment.year, moment.month, 1, tzinfo=UTC)
        after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        return to_ms(first), to_ms(after)
    return 0, FOREVER_MS


def window_start(window: Window, now: datetime) -> datetime:
    """The first moment of the window that `now` (aware) is in, in UTC. `total` and `now` began in 1970."""
    return from_ms(span_ms(window, to_ms(now))[0])


def window_end(window: Window, now: datetime) -> datetime | None:
    """The first moment after the window that `now` (aware) is in, in UTC; None for `total` and `now`."""
    end = span_ms(window, to_ms(now))[1]
    return None if end == FOREVER_MS else from_ms(end)
