"""Typed words to values, and values to words: durations, moments, masked secrets. Pure."""

import re
from datetime import UTC, date, datetime, time, timedelta

_DURATION_PART = re.compile(r"([0-9]{1,6})([smhdw])")
_DURATION = re.compile(r"(?:[0-9]{1,6}[smhdw])+")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION_MAX = timedelta(days=36_525)

_URL_LOGIN = re.compile(r"(?<=://)[^/?#\s]*@")
_URL_SECRET = re.compile(r"(?i)([?&][^=&#]*(?:password|passwd|secret|token|key)[^=&#]*=)[^&#\s]*")

MASK = "********"


def parse_duration(text: str) -> timedelta:
    """`90s`, `30m`, `12h`, `30d`, `2w`, or several in a row such as `1d12h`. Raises ValueError."""
    written = text.strip().lower()
    if not _DURATION.fullmatch(written):
        raise ValueError(f"{text!r} is not a duration; write 90s, 30m, 12h, 30d or 2w.")
    parts = ((int(count), _UNITS[unit]) for count, unit in _DURATION_PART.findall(written))
    duration = sum((timedelta(**{unit: count}) for count, unit in parts), timedelta())
    if not timedelta() < duration <= _DURATION_MAX:
        raise ValueError(f"{text!r} is not between 1 second and 100 years.")
    return duration


def parse_expiry(text: str, now: datetime) -> datetime:
    """When something ends: a duration from `now`, or a date (until the end of that day) or time, in UTC.

    Raises ValueError, also for past moments.
    """
    moment = _parse_iso(text, day_ends=True)
    if moment is None:
        try:
            moment = now + parse_duration(text)
        except ValueError:
            raise ValueError(
                f"{text!r} is neither a duration nor a date; write 30d, 12h, 2027-01-31 or 2027-01-31T18:00Z."
            ) from None
    if moment <= now:
        raise ValueError(f"{text!r} is in the past.")
    return moment


def parse_since(text: str, now: datetime) -> datetime:
    """The beginning of a report: a date (from its first moment), a time, or a duration before `now`, in UTC."""
    return _parse_report_edge(text, now, day_ends=False)


def parse_until(text: str, now: datetime) -> datetime:
    """The end of a report, not part of it: a date (to the end of that day), a time, or a duration before `now`."""
    return _parse_report_edge(text, now, day_ends=True)


def _parse_report_edge(text: str, now: datetime, *, day_ends: bool) -> datetime:
    moment = _parse_iso(text, day_ends=day_ends)
    if moment is not None:
        return moment
    try:
        return now - parse_duration(text)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is neither a date nor a duration; write 2026-10-01, 2026-10-01T18:00Z, or 7d for 7 days ago."
        ) from None


def _parse_iso(text: str, *, day_ends: bool) -> datetime | None:
    """A date or time as ISO 8601 writes them, in UTC if no zone is given; None for anything else."""
    written = text.strip().upper()
    try:
        if len(written) == len("2026-12-31"):
            start = datetime.combine(date.fromisoformat(written), time(), UTC)
            return start + timedelta(days=1) if day_ends else start
        moment = datetime.fromisoformat(written)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: the calendar's first and last day
        return None


def day_and_time(moment: datetime | None) -> str:
    """`2026-11-24 09:30`: a moment, in UTC, as tables hold it; an empty text for none."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def printable(text: str) -> str:
    """`text` without characters that could move a terminal's cursor or change its colours."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def mask_url(text: str) -> str:
    """A URL, or any text, with the logins and secret-looking parameters in it hidden."""
    return _URL_SECRET.sub(rf"\1{MASK}", _URL_LOGIN.sub(f"{MASK}@", text))
