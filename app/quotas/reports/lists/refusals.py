"""Refused requests: how many, by hour, user, key and code; the newest hour first."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from app.database.clock import to_ms
from app.database.schema import identity_tables, total_tables

_hours = total_tables.refusal_hours.c


def read_refusals(
    connection: Connection, since: datetime, until: datetime, values: Sequence[tuple[str, str]], rows_max: int
) -> list[dict[str, Any]]:
    """At most `rows_max` counts of the hours that begin from `since` on and before `until`. `values` are exact, by
    column.
    """
    users = identity_tables.users
    query = (
        select(total_tables.refusal_hours, users.c.name.label("user_name"), users.c.team_id)
        .outerjoin(users, users.c.id == _hours.user_id)
        .where(_hours.hour_start_ms >= to_ms(since), _hours.hour_start_ms < to_ms(until))
        .order_by(_hours.hour_start_ms.desc(), _hours.user_id, _hours.key_id, _hours.code)
    )
    for column, value in values:
        query = query.where((users.c.team_id if column == "team_id" else _hours[column]) == value)
    return [dict(row) for row in connection.execute(query.limit(rows_max)).mappings()]
