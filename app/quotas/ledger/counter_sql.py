"""A counter as the sum of what it counts: reservations, their corrections and, if its window is made of whole days, the
daily totals of pruned ones. It is one statement, so it sees a concurrent prune completely or not at all. audit.py
computes the same sum by other SQL; a test compares the two.
"""

from app.quotas.rules.counters import CounterKey
from app.quotas.rules.limits import Scope, Window
from app.quotas.rules.windows import span_ms

Conditions = list[tuple[str, object]]

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
_OF_RESERVATIONS = (
    *(f"SUM(charged_{unit})" for unit in _UNITS),
    "COUNT(CASE WHEN state = 'pending' THEN 1 END)",
    *(f"SUM(CASE WHEN state = 'pending' THEN held_{unit} END)" for unit in _UNITS[1:]),
)
_OF_CORRECTIONS = (*(f"SUM(charged_{unit})" for unit in _UNITS), *("0" for _ in _UNITS))

_OF_DAYS = _OF_CORRECTIONS


def counter_sum(key: CounterKey) -> tuple[str, list[object]]:
    """A statement that gives the counter's fields as one row (NULL for nothing), and its values."""
    window = Window(key.window)
    conditions = _whose(key)
    rows, values = _select(_OF_RESERVATIONS, "reservations", [*conditions, *_when(window, key, "reserved_at_ms")])
    parts = [_select(_OF_CORRECTIONS, "corrections", [*conditions, *_when(window, key, "reserved_at_ms")])]
    if window not in PART_OF_A_DAY:
        parts.append(_select(_OF_DAYS, "usage_days", [*conditions, *_when(window, key, "day_start_ms")]))
    all_of_them = " UNION ALL ".join([rows, *(text for text, _ in parts)])
    sums = ", ".join(f"SUM({name})" for name in _NAMES)
    more = [value for _, part in parts for value in part]
    return f"SELECT {sums} FROM ({all_of_them}) AS parts", [*values, *more]  # noqa: S608 - names of ours


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
    return text, [value for _, value in conditions]
