"""What must be true of the rows whatever happened, by SQL that shares nothing with the ledger's own.

Every limit is held against the sum of the reservations of its window: settled or pending, at most its amount and what
the provider charged beyond the holds (the declared excess).
"""

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from psycopg.rows import dict_row

_AMOUNTS = {
    "requests": ("1", "charged_requests"),
    "images": ("held_images", "charged_images"),
    "tokens": ("held_tokens", "charged_tokens"),
    "usd": ("held_nanousd", "charged_nanousd"),
}
_OWNERS = {"key": "key_id", "user": "user_id", "team": "team_id", "gateway": "''"}

_LIMITS = "SELECT scope, scope_id, unit, \"window\", model, amount FROM limits WHERE NOT shadow AND scope <> 'default'"

# A window is told by its beginning; `total` has one.
_WINDOW = "date_trunc('{0}', to_timestamp(reserved_at_ms / 1000.0) AT TIME ZONE 'UTC')"

_USED = """
    SELECT {owner} AS owner, {window} AS began,
           SUM(CASE WHEN state = 'pending' THEN {held} ELSE {charged} END)::bigint AS used,
           SUM(CASE WHEN state = 'pending' THEN 0 ELSE GREATEST({charged} - {held}, 0) END)::bigint AS excess,
           (array_agg(id ORDER BY reserved_at_ms DESC))[1:5] AS last
    FROM reservations WHERE {owner} IS NOT NULL AND {model} GROUP BY 1, 2
"""
_RUNNING = """
    SELECT {owner} AS owner, NULL AS began, COUNT(*) AS used, 0 AS excess,
           (array_agg(id ORDER BY reserved_at_ms DESC))[1:5] AS last
    FROM reservations WHERE state = 'pending' AND {owner} IS NOT NULL AND {model} GROUP BY 1
"""


def passed_limits(store_url: str) -> list[str]:
    """Every limit that more was reserved of than it allows, with the newest reservations that count for it.

    One look at one moment of the database. Limits must only ever have been raised.
    """
    with psycopg.connect(store_url, row_factory=dict_row) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return list(_passed(connection))


def _passed(connection: psycopg.Connection[dict[str, Any]]) -> Iterator[str]:
    limits = connection.execute(_LIMITS).fetchall()
    looks = {(limit["scope"], limit["unit"], limit["window"], limit["model"]) for limit in limits}
    for scope, unit, window, model in sorted(looks):
        used: dict[str, list[dict[str, Any]]] = {}
        for row in _read(connection, scope, unit, window, model):
            used.setdefault(row["owner"], []).append(row)
        for limit in limits:
            if (limit["scope"], limit["unit"], limit["window"], limit["model"]) != (scope, unit, window, model):
                continue
            for row in used.get(limit["scope_id"], ()):
                if row["used"] > limit["amount"] + row["excess"]:
                    yield (
                        f"{scope} {limit['scope_id']} has used {row['used']} of {unit}:{limit['amount']}/{window}"
                        f"{'@' + model if model else ''} in the window of {row['began']}; declared excess "
                        f"{row['excess']}; its last reservations: {', '.join(row['last'])}"
                    )


def _read(
    connection: psycopg.Connection[dict[str, Any]], scope: str, unit: str, window: str, model: str
) -> Iterable[dict[str, Any]]:
    owner = _OWNERS[scope]
    which = "model = %(model)s" if model else "%(model)s = ''"
    if unit == "concurrent":
        text = _RUNNING.format(owner=owner, model=which)
    else:
        held, charged = _AMOUNTS[unit]
        began = "NULL::timestamp" if window == "total" else _WINDOW.format(window)
        text = _USED.format(owner=owner, window=began, held=held, charged=charged, model=which)
    return connection.execute(text.encode(), {"model": model})


def untrue_successes(store_url: str, images: dict[str, int]) -> list[str]:
    """Answers that clients took for whole, by request id, whose row does not charge as many images."""
    wrong = []
    with psycopg.connect(store_url) as connection:
        query = "SELECT id, state, charged_images FROM reservations WHERE id = ANY(%s)"
        rows = {row[0]: row[1:] for row in connection.execute(query, [list(images)])}
    for id_, count in images.items():
        state, charged = rows.get(id_, ("missing", None))
        if charged != count:
            wrong.append(f"{id_}: a client got {count} images, its row is {state} and charges {charged}")
    return wrong


def left_open(store_url: str, roll_call: list[str]) -> list[str]:
    """Reservations of living gateways that are pending although all of them are idle; `roll_call` has a request that
    each of them served."""
    with psycopg.connect(store_url) as connection:
        query = """
            SELECT id FROM reservations WHERE state = 'pending'
            AND instance IN (SELECT instance FROM reservations WHERE id = ANY(%s)) ORDER BY id
        """
        return [
            f"{id_} is pending, and its gateway lives and is idle" for (id_,) in connection.execute(query, [roll_call])
        ]


def charged_unsent(store_url: str) -> list[str]:
    """Reservations that cost something, but were never marked as sent."""
    with psycopg.connect(store_url) as connection:
        query = "SELECT id, state FROM reservations WHERE dispatched_at_ms IS NULL AND charged_nanousd > 0 ORDER BY id"
        return [f"{id_} is {state} and charged, but was never sent" for id_, state in connection.execute(query)]


def tally(store_url: str) -> dict[str, int]:
    """How many rows ended how."""
    with psycopg.connect(store_url) as connection:
        query = "SELECT state || COALESCE(' ' || usage_source, ''), COUNT(*) FROM reservations GROUP BY 1 ORDER BY 1"
        return dict(connection.execute(query).fetchall())
