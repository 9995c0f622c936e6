"""The whole ledger at one moment, for gauges: the status of each limit, the number pending, the last check of the
bill.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, func, literal_column, select

from app.database.engine import reading
from app.database.owner_name import owner_name_sql
from app.database.schema import ledger_tables, limit_tables
from app.quotas.limits.manage import limits_where
from app.quotas.reports.limit_status import LimitStatus, limit_statuses
from app.quotas.reports.reconciliations import LastCheck, last_check
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
        table = limit_tables.limits.c
        name: ColumnElement[str] = literal_column(owner_name_sql(limit_tables.limits.name))
        query = select(table.id, table.scope, table.scope_id, name.label("name"))
        first = connection.execute(
            query.where(table.scope != Scope.DEFAULT.value).order_by(table.id).limit(_LIMITS_MAX)
        )
        rows = first.all()
        names = {(row.scope, row.scope_id): row.name for row in rows}
        limits = limits_where(connection, table.id.in_([row.id for row in rows]))
        named = tuple(
            NamedStatus(names[status.limit.scope, status.limit.scope_id], status)
            for status in limit_statuses(connection, limits, now)
        )
        pending = select(func.count()).select_from(ledger_tables.reservations).where(ledger_tables.IS_PENDING)
        return Overview(named, connection.execute(pending).scalar_one(), last_check(connection))
