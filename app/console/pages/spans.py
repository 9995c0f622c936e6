"""The spans of time that pages offer, and the one that an address asks for. Pure."""

from datetime import datetime, timedelta

from app.errors import InvalidValue

SPANS = {"today": "Today", "7d": "7 days", "30d": "30 days", "month": "This month", "12m": "12 months"}
_DAYS = {"today": 1, "7d": 7, "30d": 30, "12m": 365}


def beginning_of(name: str, now: datetime) -> datetime:
    """The first moment of a span: a midnight in UTC. Raises InvalidValue for a name that is none."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if name == "month":
        return midnight.replace(day=1)
    if name not in _DAYS:
        raise InvalidValue(f"There is no span {name!r}; there are {', '.join(SPANS)}.")
    return midnight - timedelta(days=_DAYS[name] - 1)
