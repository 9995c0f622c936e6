"""The use case of a glance: what runs now, what today cost, which limits are near, whether the bill agrees."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from app.admin.access.permissions import Permission, permit
from app.admin.limits import names_of_owners
from app.admin.operator import Operator
from app.admin.views import LimitStatusView
from app.quotas.reports.reconciliations import LastCheck, last_check
from app.quotas.reports.summaries.nearest_limits import nearest_limits
from app.quotas.reports.summaries.pending import Held, read_held
from app.quotas.reports.usage import Grouping, UsageRow, usage_report

NEAREST = 5


@dataclass(frozen=True, slots=True)
class Glance:
    """Everything at one moment. `today` None: nothing was asked for today (UTC)."""

    held: Held
    today: UsageRow | None
    yesterday: UsageRow | None
    nearest: tuple[LimitStatusView, ...]
    last_check: LastCheck | None


def glance(operator: Operator) -> Glance:
    """Reads everything in one transaction. Raises NotPermitted, StoreUnavailable."""
    permit(operator.principal, Permission.READ_GATEWAY)
    now = operator.now
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    with operator.reading() as connection:
        rows = {row.id: row for row in usage_report(connection, Grouping.DAY, midnight - timedelta(days=1), until=None)}
        return Glance(
            read_held(connection),
            rows.get(_day(midnight)),
            rows.get(_day(midnight - timedelta(days=1))),
            tuple(_nearest(connection, NEAREST, now)),
            last_check(connection),
        )


def read_nearest(operator: Operator, count: int) -> list[LimitStatusView]:
    """The limits whose use comes nearest to their amount, the fullest first. Raises NotPermitted."""
    permit(operator.principal, Permission.READ_GATEWAY)
    with operator.reading() as connection:
        return _nearest(connection, count, operator.now)


def _nearest(connection: Connection, count: int, now: datetime) -> list[LimitStatusView]:
    found = nearest_limits(connection, count, now)
    names = names_of_owners(connection, [status.limit for status in found])
    return [LimitStatusView(status, names.get(status.limit.scope_id)) for status in found]


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
