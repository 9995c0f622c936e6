"""When a limit's window begins and ends: UTC calendar arithmetic. Pure. Reads no clock and keeps nothing, so after a
clock is set back the earlier window applies again.
"""

from datetime import UTC, datetime

from app.database.clock import from_ms, to_ms
from app.quotas.rules.limits import Window

_MINUTE_MS = 60_000
HOUR_MS = 60 * _MINUTE_MS
DAY_MS = 24 * HOUR_MS
FOREVER_MS = 2**63 - 1
"""The end of the window `total`."""

_FIRST_MONDAY_MS = 4 * DAY_MS  # 1970 began on a Thursday

# The length of each window, and a moment at which one began. UTC has no summer time, and our clocks have no leap
# seconds.
_REGULAR = {
    Window.MINUTE: (_MINUTE_MS, 0),
    Window.HOUR: (HOUR_MS, 0),
    Window.DAY: (DAY_MS, 0),
    Window.WEEK: (7 * DAY_MS, _FIRST_MONDAY_MS),
}


def span_ms(window: Window, at_ms: int) -> tuple[int, int]:
    """The first millisecond of the window that contains `at_ms`, and the first one after it.

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


def window_end(window: Window, now: datetime) -> datetime | None:
    """The first moment after the window that contains `now` (aware), in UTC; None for `total` and `now`."""
    end = span_ms(window, to_ms(now))[1]
    return None if end == FOREVER_MS else from_ms(end)
