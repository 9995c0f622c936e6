"""A counter as the sum of what it counts: what is pending, and the hourly or daily totals of what is resolved; for a
minute the reservations and their corrections themselves. It is one statement, so it sees one moment. audit.py computes
the same sum by other SQL; a test compares the two.
"""

from app.quotas.rules.counters import CounterKey
from app.quotas.rules.limits import Scope, Window
from app.quotas.rules.windows import span_ms

Conditions = list[tuple[str, object]]  # a value of None: the text has no place for one

PART_OF_A_DAY = frozenset({Window.MINUTE, Window.HOUR})
"""Windows shorter than a day. Their counters are no longer used when their day is pruned."""

_OWNER_COLUMNS = {
    Scope.KEY.value: "key_id",
    Scope.USER.value: "user_id",
    Scope.TEAM.value: "team_id",
    Scope.ACCOUNT.value: "account",
}
_UNITS = ("requests", "images", "tokens", "nanousd")

# The columns of a counter, in the order of its fields.
_NAMES = tuple(f"{state}_{unit}" for state in ("settled", "pending") for unit in _UNITS)
_NOTHING = tuple("0" for _ in _UNITS)
_RESOLVED = (*(f"SUM(charged_{unit})" for unit in _UNITS), *_NOTHING)
_PENDING = (*_NOTHING, "COUNT(*)", *(f"SUM(held_{unit})" for unit in _UNITS[1:]))

# Where the resolved part of a window's counter is, and the column that has its time.
_MINUTES = (("reservations", "reserved_at_ms"), ("corrections", "reserved_at_ms"))
_SOURCES = {Window.MINUTE: _MINUTES, Window.HOUR: (("usage_hours", "hour_start_ms"),)}
_DAYS = (("usage_days", "day_start_ms"),)


def counter_sum(key: CounterKey) -> tuple[str, list[object]]:
    """A statement that gives the counter's fields as one row (NULL for nothing), and its values."""
    window = Window(key.window)
    whose, pending = _whose(key), [("state = 'pending'", None)]
    parts = [_select(_PENDING, "reservations", [*pending, *whose, *_when(window, key, "reserved_at_ms")])]
    for table, moment in _SOURCES.get(window, _DAYS):
        parts.append(_select(_RESOLVED, table, [*whose, *_when(window, key, moment)]))
    all_of_them = " UNION ALL ".join(text for text, _ in parts)
    sums = ", ".join(f"SUM({name})" for name in _NAMES)
    values = [value for _, part in parts for value in part]
    return f"SELECT {sums} FROM ({all_of_them}) AS parts", values  # noqa: S608 - names of ours


def _whose(key: CounterKey) -> Conditions:
    conditions: Conditions = []
    if key.scope in _OWNER_COLUMNS:
        conditions.append((f"{_OWNER_COLUMNS[key.scope]} = ?", key.scope_id))
    if key.model:
        conditions.append(("model = ?", key.model))
    return conditions


def _when(window: Window, key: CounterKey, column: str) -> Conditions:
    """None for `total`: a condition on all of time would only make the database use an index that excludes nothing."""
    if window is Window.TOTAL:
        return []
    start, end = span_ms(window, key.window_start_ms)
    return [(f"{column} >= ?", start), (f"{column} < ?", end)]


def _select(sums: tuple[str, ...], table: str, conditions: Conditions) -> tuple[str, list[object]]:
    named = ", ".join(f"{expression} AS {name}" for expression, name in zip(sums, _NAMES, strict=True))
    where = " AND ".join(text for text, _ in conditions)
    text = f"SELECT {named} FROM {table}{' WHERE ' if where else ''}{where}"  # noqa: S608 - names of ours
    return text, [value for _, value in conditions if value is not None]
