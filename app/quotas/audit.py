"""Proves the ledger: counters equal the sums of their reservations, every reservation is closed as it may be, nothing
is negative. Reads only, and sums by other SQL than the ledger's own. bill.py compares with what the provider billed."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, func, not_, or_, select, true

from app.database import schema
from app.database.clock import from_ms, to_ms
from app.quotas.bill import compare_with_bill
from app.quotas.counters import Counter, CounterKey
from app.quotas.findings import Finding, Severity, bounded
from app.quotas.limits import Window
from app.quotas.standing import limits_where, sum_reservations
from app.quotas.windows import span_ms

__all__ = ["Finding", "Severity", "audit", "compare_with_bill"]

_rows = schema.reservations.c
_counters = schema.counters.c

_HELD = (_rows.held_images, _rows.held_tokens, _rows.held_nanousd)
_CHARGED = (_rows.charged_requests, _rows.charged_images, _rows.charged_tokens, _rows.charged_nanousd)
_SPENT = tuple(zip(_HELD, _CHARGED[1:], strict=True))
_USAGE = (_rows.input_text_tokens, _rows.input_image_tokens, _rows.output_text_tokens, _rows.output_image_tokens)

_IS_PENDING = _rows.state == "pending"
_COSTS_NOTHING = and_(*(column == 0 for column in _CHARGED))
_CLOSING = (_rows.resolved_at_ms, _rows.outcome, _rows.usage_source, *_CHARGED)
_IS_UNCLOSED = or_(*(column.is_(None) for column in _CLOSING))
_IS_CLOSED = or_(*(column.is_not(None) for column in (*_CLOSING, *_USAGE)))

# What is wrong with a row in which the condition holds.
_WRONG_ROWS: tuple[tuple[str, ColumnElement[bool], str], ...] = (
    ("resolved_once", and_(not_(_IS_PENDING), _IS_UNCLOSED), "is resolved, but not all of its resolution is there"),
    ("resolved_once", and_(_IS_PENDING, _IS_CLOSED), "is pending, but has parts of a resolution"),
    ("negative", or_(*(column < 0 for column in (*_HELD, *_CHARGED, *_USAGE))), "has an amount below zero"),
    ("released", and_(_rows.state == "released", not_(_COSTS_NOTHING)), "is released, but charged"),
    (
        "expired",
        and_(_rows.state == "expired", _rows.dispatched_at_ms.is_(None), not_(_COSTS_NOTHING)),
        "expired before it was sent, but is charged",
    ),
    (
        "expired",
        and_(
            _rows.state == "expired",
            _rows.dispatched_at_ms.is_not(None),
            or_(*(held != charged for held, charged in _SPENT), _rows.usage_source != "estimated"),
        ),
        "expired after it was sent, but is not charged what it held, as an estimate",
    ),
)


def audit(connection: Connection, now: datetime) -> list[Finding]:
    """What is wrong with the ledger, and what is worth knowing. Call it inside `reading`, so that it sees one moment.

    No finding with severity `error` means: every counter is exact and every reservation was closed once, or is
    pending.
    """
    found = [*bounded(_wrong_counters(connection)), *bounded(_unwatched_counters(connection))]
    for check, condition, message in _WRONG_ROWS:
        found += bounded(
            Finding(Severity.ERROR, check, id_, f"reservation {id_} {message}")
            for id_ in connection.execute(select(_rows.id).where(condition).order_by(_rows.id)).scalars()
        )
    return [*found, *bounded(_overdue(connection, now)), *bounded(_excess(connection))]


def _wrong_counters(connection: Connection) -> Iterator[Finding]:
    keys = [_counters[name] for name in CounterKey._fields]
    columns = [column for column in _counters if column.name not in CounterKey._fields]
    for row in connection.execute(select(*keys, *columns).order_by(*keys)).all():
        key, counter = CounterKey(*row[: len(keys)]), Counter(*row[len(keys) :])
        name = _name(key)
        if span_ms(Window(key.window), key.window_start_ms)[0] != key.window_start_ms:
            yield Finding(Severity.ERROR, "counters", name, f"counter {name} begins where no {key.window} begins")
        summed = sum_reservations(connection, key)
        if counter != summed:
            yield Finding(
                Severity.ERROR, "counters", name, f"counter {name} says {counter}, its reservations say {summed}"
            )


def _unwatched_counters(connection: Connection) -> Iterator[Finding]:
    """Counters no limit looks at: the ledger does not keep them right, so there must be none."""
    watched = {
        (limit.scope, limit.scope_id, limit.model, limit.counter_window) for limit in limits_where(connection, true())
    }
    columns = (_counters.scope, _counters.scope_id, _counters.model, _counters.window)
    query = select(*columns, func.min(_counters.window_start_ms)).group_by(*columns).order_by(*columns)
    for row in connection.execute(query).all():
        if tuple(row[:4]) not in watched:
            name = _name(CounterKey(*row))
            yield Finding(Severity.ERROR, "unwatched", name, f"no limit looks at counter {name}; it would go wrong")


def _overdue(connection: Connection, now: datetime) -> Iterator[Finding]:
    query = select(_rows.id, _rows.expires_at_ms).where(_IS_PENDING, _rows.expires_at_ms < to_ms(now))
    for id_, expires_at_ms in connection.execute(query.order_by(_rows.expires_at_ms, _rows.id)):
        since = f"{from_ms(expires_at_ms):%Y-%m-%d %H:%M:%S} UTC"
        message = f"reservation {id_} is pending since before {since}: no gateway runs, or its sweep fails"
        yield Finding(Severity.WARNING, "overdue", id_, message)


def _excess(connection: Connection) -> Iterator[Finding]:
    condition = or_(*(charged > held for held, charged in _SPENT))
    columns = [column for pair in _SPENT for column in pair]
    for id_, *amounts in connection.execute(select(_rows.id, *columns).where(condition).order_by(_rows.id)):
        parts = [
            f"{charged} {unit} instead of {held}"
            for unit, held, charged in zip(("images", "tokens", "nano-USD"), amounts[::2], amounts[1::2], strict=True)
            if charged > held
        ]
        message = f"reservation {id_} was charged more than it held: {', '.join(parts)}"
        yield Finding(Severity.INFO, "excess", id_, message)


def _name(key: CounterKey) -> str:
    model = f"@{key.model}" if key.model else ""
    begin = "" if key.window == Window.TOTAL else f" of {from_ms(key.window_start_ms):%Y-%m-%d %H:%M}"
    return f"{key.scope} {key.scope_id}".strip() + f" {key.window}{begin}{model}"
