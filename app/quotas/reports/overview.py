"""The whole ledger at one moment, for gauges: the status of each limit, the number pending, the last check of the
bill.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, func, select

from app.database import schema
from app.database.engine import reading
from app.quotas.limits.manage import limits_where
from app.quotas.reports.limit_status import LimitStatus, limit_statuses
from app.quotas.reports.reconcile_day import LastCheck, last_check
from app.quotas.rules.limits import Scope

_LIMITS_MAX = 500  # more would make a scrape slow; `limits list` shows the rest


@dataclass(frozen=True, slots=True)
class NamedStatus:
    """A limit's status, and the name by which people know its owner: a user's or team's name, a key's public id."""

    name: str
    status: LimitStatus


@dataclass(frozen=True, slots=True)
class Overview:
    """At most 500 limits, the oldest first."""

    limits: tuple[NamedStatus, ...]
    pending: int
    last_check: LastCheck | None


def read_overview(engine: Engine, now: datetime) -> Overview:
    """Reads everything in one transaction. Blocks. Raises StoreUnavailable."""
    with reading(engine) as connection:
        table = schema.limits.c
        first = select(table.id).where(table.scope != Scope.DEFAULT.value).order_by(table.id).limit(_LIMITS_MAX)
        limits = limits_where(connection, table.id.in_(first))
        names = _names(connection, {limit.scope_id for limit in limits})
        named = tuple(
            NamedStatus(names.get(status.limit.scope_id, status.limit.scope_id or "gateway"), status)
            for status in limit_statuses(connection, limits, now)
        )
        pending = select(func.count()).select_from(schema.reservations).where(schema.IS_PENDING)
        return Overview(named, connection.execute(pending).scalar_one(), last_check(connection))


def _names(connection: Connection, ids: set[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for table in (schema.users, schema.teams):
        query = select(table.c.id, table.c.name).where(table.c.id.in_(ids))
        names.update((row.id, row.name) for row in connection.execute(query))
    return names
