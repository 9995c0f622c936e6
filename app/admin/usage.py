"""The use case of usage: who used what, and its cost, line by line."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

from app.admin.access.permissions import Permission, permit_all
from app.admin.operator import Operator
from app.quotas.reports import usage as reports
from app.quotas.reports.summaries.costs_by_size import SizeCost, costs_by_size
from app.quotas.reports.summaries.usage_of_user import UserDay, days_of_user
from app.quotas.reports.usage import Grouping, UsageRow
from app.quotas.rules.limits import format_usd


@contextmanager
def usage_report(
    operator: Operator, by: Grouping, since: datetime | None = None, until: datetime | None = None
) -> Iterator[Iterator[UsageRow]]:
    """The lines of a report, read as they are taken, all from one moment: take them inside the block.

    Raises Conflict if an edge would split a day of which only the total is kept.
    """
    permit_all(operator.principal, Permission.READ_USAGE)
    with operator.reading() as connection:
        yield reports.usage_report(connection, by, since, until)


def read_costs_by_size(operator: Operator, since: datetime) -> list[SizeCost]:
    """What images of each model, size and quality cost since that midnight (UTC). Raises NotPermitted."""
    permit_all(operator.principal, Permission.READ_GATEWAY)
    with operator.reading() as connection:
        return costs_by_size(connection, since)


def days_of_own(operator: Operator, user_id: str, since: datetime) -> list[UserDay]:
    """What one user used on each UTC day since then, oldest first; days without use are not among them."""
    with operator.reading() as connection:
        return list(days_of_user(connection, user_id, since))


def usage_row_json(row: UsageRow) -> dict[str, Any]:
    """A line for programs: money as text in dollars and whole in nano-dollars."""
    return {**asdict(row), "usd": format_usd(row.nanousd)}
