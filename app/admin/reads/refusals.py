"""The use case of refusals: who was refused, why and how often."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement

from app.admin.access.permissions import Permission, Reach, permit
from app.admin.operator import Operator
from app.database.schema.identity_tables import users
from app.quotas.refusals.hours import RefusedRow, refusal_report


@contextmanager
def report_refusals(
    operator: Operator, since: datetime | None = None, until: datetime | None = None
) -> Iterator[Iterator[RefusedRow]]:
    """The lines, the most frequent first, of the hours from that of `since` on and before `until`: those of everybody,
    of one's team, or one's own. Take them inside the block. Raises NotPermitted, StoreUnavailable.
    """
    whose = _whose(operator)
    with operator.reading() as connection:
        yield refusal_report(connection, since, until, whose)


def refused_row_json(row: RefusedRow) -> dict[str, Any]:
    """A line for programs."""
    return asdict(row)


def _whose(operator: Operator) -> ColumnElement[bool] | None:
    principal = operator.principal
    match permit(principal, Permission.READ_USAGE):
        case Reach.TEAM:
            assert principal is not None
            return users.c.team_id == principal.team_id
        case Reach.OWN:
            assert principal is not None
            return users.c.id == principal.user_id
    return None
