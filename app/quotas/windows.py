"""When a limit's window began and when it ends: UTC calendar arithmetic, pure. Reads no clock and remembers nothing,
so a clock that steps back simply falls into the earlier window again."""

from datetime import UTC, datetime, timedelta

from app.quotas.limits import Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_LENGTHS = {
    Window.MINUTE: timedelta(minutes=1),
    Window.HOUR: timedelta(hours=1),
    Window.DAY: timedelta(days=1),
    Window.WEEK: timedelta(weeks=1),
}


def window_start(window: Window, now: datetime) -> datetime:
    """The first moment of the window that `now` (aware) is in. `total` and `now` began with the epoch."""
    moment = now.astimezone(UTC)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    match window:
        case Window.MINUTE:
            return moment.replace(second=0, microsecond=0)
        case Window.HOUR:
            return moment.replace(minute=0, second=0, microsecond=0)
        case Window.DAY:
            return midnight
        case Window.WEEK:
            return midnight - timedelta(days=midnight.weekday())
        case Window.MONTH:
            return midnight.replace(day=1)
        case Window.TOTAL | Window.NOW:
            return EPOCH


def window_end(window: Window, now: datetime) -> datetime | None:
    """The first moment after the window that `now` (aware) is in; None for `total` and `now`, which never end."""
    if window in (Window.TOTAL, Window.NOW):
        return None
    start = window_start(window, now)
    if window is Window.MONTH:
        return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return start + _LENGTHS[window]
