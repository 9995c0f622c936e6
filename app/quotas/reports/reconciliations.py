"""Keeps the newest comparison of each day and account with the provider's bill, and reads the most recent."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from app.database.changes import lock_changes
from app.database.clock import from_ms, to_ms
from app.database.schema import total_tables
from app.quotas.reports.reconcile_day import DayComparison, ModelDay, day_start

_CHECKS_MAX = 50_000

_table = total_tables.reconciliations
_checks = _table.c


class LastCheck(NamedTuple):
    """The most recent day that was compared, and the drift in nano-USD by model and account ('': all together)."""

    day_start: datetime
    drift_nanousd: dict[tuple[str, str], int]


def keep(connection: Connection, comparison: DayComparison, now: datetime) -> None:
    """Stores the comparison, in place of an earlier one of the same day and account. A day without any usage is stored
    as well.
    """
    lock_changes(connection)  # two checks of the same day run one after the other
    start_ms = to_ms(day_start(comparison.day))
    connection.execute(delete(_table).where(_checks.day_start_ms == start_ms, _checks.account == comparison.account))
    rows = [
        {
            "day_start_ms": start_ms,
            "model": name,
            "account": comparison.account,
            "ledger_requests": model.ledger.requests,
            "ledger_nanousd": model.ledger.nanousd,
            "billed_requests": model.billed.requests,
            "billed_nanousd": model.billed.nanousd,
            "checked_at_ms": to_ms(now),
        }
        for name, model in (comparison.models or {"": ModelDay()}).items()
    ]
    connection.execute(insert(_table), rows)


def read_checks(connection: Connection, since: datetime | None, until: datetime | None) -> list[dict[str, Any]]:
    """The compared days from `since` on and before `until`, the newest first: a row for each model and account."""
    query = select(_table).order_by(_checks.day_start_ms.desc(), _checks.account, _checks.model)
    if since is not None:
        query = query.where(_checks.day_start_ms >= to_ms(since))
    if until is not None:
        query = query.where(_checks.day_start_ms < to_ms(until))
    return [dict(row) for row in connection.execute(query.limit(_CHECKS_MAX)).mappings()]


def last_check(connection: Connection) -> LastCheck | None:
    """The comparison of the most recent day that has one; None if no day was ever compared."""
    youngest = select(func.max(_checks.day_start_ms)).scalar_subquery()
    drift = _checks.ledger_nanousd - _checks.billed_nanousd
    rows = connection.execute(
        select(_checks.day_start_ms, _checks.model, _checks.account, drift).where(_checks.day_start_ms == youngest)
    )
    found = rows.all()
    if not found:
        return None
    return LastCheck(from_ms(found[0][0]), {(model, account): nanousd for _, model, account, nanousd in found if model})
