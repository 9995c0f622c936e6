"""Proves the ledger: counters equal the sums of their rows, every reservation is resolved once, the bill agrees.

Reads only; mends nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select

from app.database import schema
from app.database.clock import to_ms
from app.quotas.counters import Counter, CounterKey
from app.quotas.limits import format_usd
from app.quotas.reservation import State, UsageSource
from app.quotas.standing import sum_reservations

_ROWS_AT_A_TIME = 1000
_UNITS = ("requests", "images", "tokens", "nanousd")
_rows = schema.reservations.c


class Severity(StrEnum):
    """An `error` is a promise broken; `info` is worth knowing and right as it is."""

    ERROR = "error"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the audit saw. `subject` is a reservation's id, a counter's name or the bill's request id."""

    severity: Severity
    kind: str
    subject: str
    message: str


def audit(connection: Connection, now: datetime) -> Iterator[Finding]:
    """Everything in the ledger that is wrong or remarkable. Streams over the rows."""
    yield from _audit_counters(connection)
    yield from _audit_reservations(connection, now)


def compare_with_bill(connection: Connection, bill: Mapping[str, Any]) -> Iterator[Finding]:
    """The sandbox's bill against the rows, matched by ZenMux's request id.

    A row that is an estimate may differ, and may stand for a generation whose answer, with its id, never came.
    """
    billed: dict[str, int] = {entry["request_id"]: int(entry["cost_nanousd"]) for entry in bill["generations"]}
    nameless_count = nameless_nanousd = 0
    for row in _resolved(connection):
        cost_nanousd = billed.pop(row.upstream_request_id, None) if row.upstream_request_id else None
        if row.usage_source == UsageSource.ESTIMATED:
            yield _info("estimated", row.id, f"charged {_usd(row)} by estimate; billed {_shown(cost_nanousd)}")
            if cost_nanousd is None:
                nameless_count += 1
                nameless_nanousd += row.charged_nanousd
        elif row.charged_nanousd != (cost_nanousd or 0):
            yield _error("differs_from_bill", row.id, f"charged {_usd(row)}, billed {_shown(cost_nanousd)}")
    # What was billed under ids that never reached us must fit into the estimates that have no id.
    if len(billed) > nameless_count or sum(billed.values()) > nameless_nanousd:
        for request_id, cost_nanousd in billed.items():
            yield _error("not_recorded", request_id, f"billed {format_usd(cost_nanousd)} dollars, recorded nowhere")


def _audit_counters(connection: Connection) -> Iterator[Finding]:
    table = schema.counters
    names = [f"{state}_{unit}" for state in ("settled", "pending") for unit in _UNITS]
    for row in connection.execute(select(table)).fetchall():
        key = CounterKey(*(getattr(row, name) for name in CounterKey._fields))
        kept = Counter(*(getattr(row, name) for name in names))
        summed = sum_reservations(connection, key)
        if kept != summed:
            yield _error("counter_differs", _name(key), f"counts {kept}, its rows sum up to {summed}")


def _audit_reservations(connection: Connection, now: datetime) -> Iterator[Finding]:
    overdue = and_(_rows.state == State.PENDING.value, _rows.expires_at_ms < to_ms(now))
    for row in _select(connection, overdue):
        yield _info("overdue", row.id, "is pending past its time; the next sweep, or `ledger expire`, closes it")
    charges = [_rows[f"charged_{unit}"] for unit in _UNITS]
    broken = and_(
        _rows.state != State.PENDING.value,
        or_(
            *(charge.is_(None) for charge in charges), *(charge < 0 for charge in charges), _rows.usage_source.is_(None)
        ),
    )
    for row in _select(connection, broken):
        yield _error("half_resolved", row.id, f"is {row.state}, but its charge is incomplete")
    free = and_(_rows.state == State.RELEASED.value, or_(*(charge != 0 for charge in charges)))
    for row in _select(connection, free):
        yield _error("charged_release", row.id, "is released, but was charged")
    excess = or_(
        *(_rows[f"charged_{unit}"] > _rows[f"held_{unit}"] for unit in ("images", "tokens", "nanousd")),
    )
    for row in _select(connection, excess):
        yield _info("excess", row.id, f"was charged {_usd(row)}, more than the {format_usd(row.held_nanousd)} it held")


def _resolved(connection: Connection) -> Iterator[Row[Any]]:
    return _select(connection, _rows.state != State.PENDING.value)


def _select(connection: Connection, condition: Any) -> Iterator[Row[Any]]:  # noqa: ANN401 - any SQL condition
    query = select(schema.reservations).where(condition).order_by(_rows.reserved_at_ms, _rows.id)
    yield from connection.execution_options(yield_per=_ROWS_AT_A_TIME).execute(query)


def _error(kind: str, subject: str, message: str) -> Finding:
    return Finding(Severity.ERROR, kind, subject, message)


def _info(kind: str, subject: str, message: str) -> Finding:
    return Finding(Severity.INFO, kind, subject, message)


def _name(key: CounterKey) -> str:
    model = f"@{key.model}" if key.model else ""
    return f"{key.scope} {key.scope_id} {key.window}{model} from {key.window_start_ms}".replace("  ", " ")


def _usd(row: Row[Any]) -> str:
    return f"{format_usd(row.charged_nanousd)} dollars"


def _shown(nanousd: int | None) -> str:
    return "nothing" if nanousd is None else f"{format_usd(nanousd)} dollars"
