"""Keeps the newest comparison of each day and account with the provider's bill, and reads the most recent."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, tuple_

from app.database.changes import lock_changes
from app.database.clock import from_ms, to_ms
from app.database.schema import total_tables
from app.quotas.reports.reconcile_day import DayComparison, ModelDay, day_start

_table = total_tables.reconciliations
_checks = _table.c


class LastCheck(NamedTuple):
    """The most recent day that was compared, and the drift in nano-USD by model and account ('': all together)."""

    day_start: datetime
    drift_nanousd: dict[tuple[str, str], int]


class WantedChecks(NamedTuple):
    """The compared days from `since` on and before `until`."""

    since: datetime | None = None
    until: datetime | None = None


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


def read_checks(
    connection: Connection, wanted: WantedChecks, after: tuple[int, str, str] | None, limit: int
) -> list[dict[str, Any]]:
    """At most `limit` comparisons after that one (its day, account and model), the newest day first."""
    place = (_checks.day_start_ms, _checks.account, _checks.model)
    query = select(_table).order_by(*(column.desc() for column in place)).limit(limit)
    if after is not None:
        query = query.where(tuple_(*place) < after)
    if wanted.since is not None:
        query = query.where(_checks.day_start_ms >= to_ms(wanted.since))
    if wanted.until is not None:
        query = query.where(_checks.day_start_ms < to_ms(wanted.until))
    return [dict(row) for row in connection.execute(query).mappings()]


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
