"""Refused requests: how many, by hour, user, key and code; the newest hour first, a page at a time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, tuple_

from app.database.clock import to_ms
from app.database.schema import identity_tables, total_tables

_hours = total_tables.refusal_hours.c


@dataclass(frozen=True, slots=True)
class WantedRefusals:
    """Counts of the hours that begin from `since` on and before `until`. `values` are exact, by column."""

    since: datetime
    until: datetime
    values: tuple[tuple[str, str], ...] = ()


def read_refusals(
    connection: Connection, wanted: WantedRefusals, after: tuple[int, str, str, str] | None, limit: int
) -> list[dict[str, Any]]:
    """At most `limit` counts after that one (its hour, user, key and code), the newest hour first."""
    # All words descend, as the hour does: so the primary key has the rows in their order, read from its end.
    place = (_hours.hour_start_ms, _hours.user_id, _hours.key_id, _hours.code)
    users = identity_tables.users
    query = (
        select(total_tables.refusal_hours, users.c.name.label("user_name"), users.c.team_id)
        .outerjoin(users, users.c.id == _hours.user_id)
        .where(_hours.hour_start_ms >= to_ms(wanted.since), _hours.hour_start_ms < to_ms(wanted.until))
        .order_by(*(column.desc() for column in place))
    )
    if after is not None:
        query = query.where(tuple_(*place) < after, _hours.hour_start_ms <= after[0])
    for column, value in wanted.values:
        query = query.where((users.c.team_id if column == "team_id" else _hours[column]) == value)
    return [dict(row) for row in connection.execute(query.limit(limit)).mappings()]
