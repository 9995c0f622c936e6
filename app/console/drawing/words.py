"""Money, counts, spans of time and moments in words for people. Pure."""

from datetime import UTC, datetime

from app.images.catalog.model_spec import NANOUSD_PER_USD
from app.quotas.rules.limits import Unit, describe_amount

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def money(nanousd: int) -> str:
    """Dollars as a column shows them: two decimals; four below ten cents, because an image may cost less than one."""
    sign, amount = "-" if nanousd < 0 else "", abs(nanousd)
    if amount and amount < NANOUSD_PER_USD // 10_000:
        return f"{sign}<$0.0001"
    decimals = 4 if 0 < amount < NANOUSD_PER_USD // 10 else 2
    return f"{sign}${amount / NANOUSD_PER_USD:,.{decimals}f}"


def in_unit(value: int, unit: Unit) -> str:
    """An amount of a limit's unit, as a column shows it."""
    return money(value) if unit is Unit.USD else describe_amount(unit, value)


def count(value: int) -> str:
    """A whole number with commas."""
    return f"{value:,}"


def percent(ratio: float) -> str:
    """A share; below one percent with one decimal."""
    share = ratio * 100
    return f"{share:.1f}%" if 0 < share < 1 else f"{share:.0f}%"


def span(seconds: float) -> str:
    """`4 s`, `3 min`, `2 h 5 min`, `6 d 3 h`."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "d", _HOUR, "h")


def milliseconds(value: int) -> str:
    """`840 ms`, `12.3 s`."""
    return f"{value} ms" if value < 1000 else f"{value / 1000:.1f} s"


def size_of(size: int) -> str:
    """`840 B`, `12.3 kB`, `4.5 MB`, `1.2 GB`."""
    for unit, width in (("GB", 10**9), ("MB", 10**6), ("kB", 1000)):
        if size >= width:
            return f"{size / width:.1f} {unit}"
    return f"{size} B"


def moment(at: datetime) -> str:
    """`29 Nov 2026, 14:05 UTC`."""
    return f"{at.astimezone(UTC):%-d %b %Y, %H:%M} UTC"


def machine_moment(at: datetime) -> str:
    """The same for a program: the `datetime` of a `<time>`."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def since(at: datetime, now: datetime) -> str:
    """`just now`, `3 min ago`; `in 3 min` for what is ahead."""
    seconds = (now - at).total_seconds()
    if seconds < 0:
        return f"in {span(-seconds)}"
    return "just now" if seconds < 5 else f"{span(seconds)} ago"


def _two(whole: int, first: int, first_name: str, second: int, second_name: str) -> str:
    major, minor = whole // first, whole % first // second
    return f"{major} {first_name}" + (f" {minor} {second_name}" if minor else "")
