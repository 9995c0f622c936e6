from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.quotas.rules.limits import Window
from app.quotas.rules.windows import FOREVER_MS, span_ms, window_end
from tests.quotas.making import window_start

CALENDAR = [window for window in Window if window not in (Window.TOTAL, Window.NOW)]
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - see timezones


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "now", "start", "end"),
    [
        (Window.MINUTE, "2026-11-24T12:34:56.789", "2026-11-24T12:34", "2026-11-24T12:35"),
        (Window.MINUTE, "2026-12-31T23:59:59.999", "2026-12-31T23:59", "2027-01-01T00:00"),
        (Window.HOUR, "2026-11-24T23:00:00", "2026-11-24T23:00", "2026-11-25T00:00"),
        (Window.DAY, "2026-11-24T00:00:00", "2026-11-24T00:00", "2026-11-25T00:00"),
        (Window.DAY, "2026-02-28T23:59:59", "2026-02-28T00:00", "2026-03-01T00:00"),
        (Window.DAY, "2028-02-28T12:00:00", "2028-02-28T00:00", "2028-02-29T00:00"),
        (Window.DAY, "2028-02-29T12:00:00", "2028-02-29T00:00", "2028-03-01T00:00"),
        (Window.DAY, "2026-12-31T12:00:00", "2026-12-31T00:00", "2027-01-01T00:00"),
        (Window.WEEK, "2026-11-23T00:00:00", "2026-11-23T00:00", "2026-11-30T00:00"),  # a Monday
        (Window.WEEK, "2026-11-22T23:59:59.999", "2026-11-16T00:00", "2026-11-23T00:00"),  # a Sunday
        (Window.WEEK, "2026-12-31T12:00:00", "2026-12-28T00:00", "2027-01-04T00:00"),
        (Window.WEEK, "1970-01-01T00:00:00", "1969-12-29T00:00", "1970-01-05T00:00"),
        (Window.MONTH, "2026-01-31T23:59:59.999", "2026-01-01T00:00", "2026-02-01T00:00"),
        (Window.MONTH, "2026-02-28T12:00:00", "2026-02-01T00:00", "2026-03-01T00:00"),
        (Window.MONTH, "2028-02-29T12:00:00", "2028-02-01T00:00", "2028-03-01T00:00"),
        (Window.MONTH, "2100-02-28T12:00:00", "2100-02-01T00:00", "2100-03-01T00:00"),
        (Window.MONTH, "2026-04-01T00:00:00", "2026-04-01T00:00", "2026-05-01T00:00"),
        (Window.MONTH, "2026-12-31T23:59:59.999", "2026-12-01T00:00", "2027-01-01T00:00"),
    ],
)
def test_windows_of_the_calendar(window: Window, now: str, start: str, end: str) -> None:
    assert window_start(window, utc(now)) == utc(start)
    assert window_end(window, utc(now)) == utc(end)


@pytest.mark.parametrize("window", [Window.TOTAL, Window.NOW])
def test_what_never_ends(window: Window) -> None:
    now = utc("2026-11-24T12:00:00")
    assert window_start(window, now) == datetime(1970, 1, 1, tzinfo=UTC)
    assert window_end(window, now) is None
    assert span_ms(window, 1) == (0, FOREVER_MS)


def test_other_time_zones_fall_into_the_window_of_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    new_year_in_tokyo = datetime(2027, 1, 1, 8, 59, tzinfo=tokyo)
    assert window_start(Window.MONTH, new_year_in_tokyo) == utc("2026-12-01T00:00")
    assert window_end(Window.DAY, new_year_in_tokyo) == utc("2027-01-01T00:00")


@pytest.mark.parametrize("window", CALENDAR)
def test_a_clock_that_steps_back_is_in_the_earlier_window_again(window: Window) -> None:
    border = window_end(window, utc("2026-11-24T12:34:56"))
    assert border is not None
    before, after = border - timedelta(milliseconds=1), border
    first = window_start(window, before)
    assert window_start(window, after) == border
    assert window_start(window, before) == first < border


@given(st.sampled_from(CALENDAR), MOMENTS)
def test_windows_cover_time_without_gap_or_overlap(window: Window, now: datetime) -> None:
    start, end = window_start(window, now), window_end(window, now)
    assert end is not None
    assert start <= now < end
    assert window_start(window, end) == end
    assert window_start(window, end - timedelta(milliseconds=1)) == start


@given(st.sampled_from(CALENDAR), MOMENTS)
def test_windows_begin_where_calendars_say(window: Window, now: datetime) -> None:
    start = window_start(window, now)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    expected = {
        Window.MINUTE: now.replace(second=0, microsecond=0),
        Window.HOUR: now.replace(minute=0, second=0, microsecond=0),
        Window.DAY: midnight,
        Window.WEEK: midnight - timedelta(days=midnight.weekday()),
        Window.MONTH: midnight.replace(day=1),
    }
    assert start == expected[window]
