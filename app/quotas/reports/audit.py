"""Proves the ledger: counters and totals equal the sums of their reservations; every reservation is closed in an
allowed way; nothing is negative. Reads only, and sums by other SQL than the ledger's own.
bill_check.py compares with the provider's bill.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    union_all,
)

from app.database.clock import from_ms, to_ms
from app.database.schema import ledger_tables, limit_tables, total_tables
from app.quotas.ledger.sql.counter_sum import PART_OF_A_DAY
from app.quotas.limits.manage import limits_where
from app.quotas.reports.bill_check import compare_with_bill
from app.quotas.reports.findings import Finding, Severity, summarized
from app.quotas.reports.records import wrong_totals
from app.quotas.reports.retention import pruned_until
from app.quotas.rules.counters import Counter, CounterKey
from app.quotas.rules.limits import Scope, Window
from app.quotas.rules.windows import DAY_MS, span_ms

__all__ = ["Finding", "Severity", "audit", "compare_with_bill"]

_rows = ledger_tables.reservations.c
_days = total_tables.usage_days.c
_counters = limit_tables.counters.c

_UNITS = ("requests", "images", "tokens", "nanousd")
_HELD = (_rows.held_images, _rows.held_tokens, _rows.held_nanousd)
_CHARGED = (_rows.charged_requests, _rows.charged_images, _rows.charged_tokens, _rows.charged_nanousd)
_SPENT = tuple(zip(_HELD, _CHARGED[1:], strict=True))
_USAGE = (_rows.input_text_tokens, _rows.input_image_tokens, _rows.output_text_tokens, _rows.output_image_tokens)

_IS_PENDING = _rows.state == "pending"
_COSTS_NOTHING = and_(*(column == 0 for column in _CHARGED))
_CLOSING = (_rows.resolved_at_ms, _rows.outcome, _rows.usage_source, *_CHARGED)
_IS_UNCLOSED = or_(*(column.is_(None) for column in _CLOSING))
_IS_CLOSED = or_(*(column.is_not(None) for column in (*_CLOSING, *_USAGE)))

# The condition under which a row is wrong, and what is wrong with it.
_WRONG_ROWS: tuple[tuple[str, ColumnElement[bool], str], ...] = (
    ("resolved_once", and_(not_(_IS_PENDING), _IS_UNCLOSED), "is resolved, but not all of its resolution is there"),
    ("resolved_once", and_(_IS_PENDING, _IS_CLOSED), "is pending, but has parts of a resolution"),
    ("negative", or_(*(column < 0 for column in (*_HELD, *_CHARGED, *_USAGE))), "has an amount below zero"),
    ("released", and_(_rows.state == "released", not_(_COSTS_NOTHING)), "is released, but charged"),
    (
        "refused",
        and_(
            _rows.state == "settled",
            _rows.usage_source == "none",
            or_(_rows.charged_requests != 1, *(column != 0 for column in _CHARGED[1:])),
        ),
        "was refused, but is not charged one request and nothing else",
    ),
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

_IS_WRONG_TOTAL = or_(
    *(column < 0 for column in _days if not column.primary_key),
    _days.day_start_ms % DAY_MS != 0,
    _days.requests < _days.released + _days.refused + _days.estimated,
)


def audit(connection: Connection, now: datetime) -> list[Finding]:
    """The findings: what is wrong with the ledger, and what is worth knowing. Call it inside `reading`, so that it sees
    one moment.

    Without a finding of severity `error`, every counter is exact, and every reservation is pending or was closed once.
    """
    found = [*summarized(_wrong_counters(connection)), *summarized(_unwatched_counters(connection))]
    for check, condition, message in _WRONG_ROWS:
        found += summarized(
            Finding(Severity.ERROR, check, id_, f"reservation {id_} {message}")
            for id_ in connection.execute(select(_rows.id).where(condition).order_by(_rows.id)).scalars()
        )
    found += summarized(_wrong_totals(connection))
    found += summarized(_wrong_corrections(connection))
    return [*found, *summarized(_overdue(connection, now)), *summarized(_excess(connection))]


def _wrong_counters(connection: Connection) -> Iterator[Finding]:
    horizon = pruned_until(connection)
    keys = [_counters[name] for name in CounterKey._fields]
    columns = [column for column in _counters if column.name not in CounterKey._fields]
    for row in connection.execute(select(*keys, *columns).order_by(*keys)).all():
        key, counter = CounterKey(*row[: len(keys)]), Counter(*row[len(keys) :])
        name = _name(key)
        if span_ms(Window(key.window), key.window_start_ms)[0] != key.window_start_ms:
            yield Finding(Severity.ERROR, "counters", name, f"counter {name} begins where no {key.window} begins")
        if horizon is not None and key.window in PART_OF_A_DAY and key.window_start_ms < to_ms(horizon):
            continue  # its records are pruned and no limit uses it any more: the next sweep deletes it
        summed = sum_reservations(connection, key)
        if counter != summed:
            yield Finding(
                Severity.ERROR, "counters", name, f"counter {name} says {counter}, its reservations say {summed}"
            )


def sum_reservations(connection: Connection, key: CounterKey) -> Counter:
    """The value a counter must have, from its reservations, and from the totals of the days of which some are pruned.

    Pruned minutes and hours are not known; counter_sum.py says why nobody needs them.
    """
    start_ms, end_ms = span_ms(Window(key.window), key.window_start_ms)
    horizon = pruned_until(connection)
    values = {
        "start_ms": start_ms,
        "end_ms": end_ms,
        "scope_id": key.scope_id,
        "model": key.model,
        "horizon_ms": 0 if horizon is None else to_ms(horizon),
    }
    statement = _sum_of(key.scope, Window(key.window), has_model=bool(key.model))
    row = connection.execute(statement, values).one()
    return Counter(*(int(value or 0) for value in row))


@lru_cache(maxsize=64)
def _sum_of(scope: str, window: Window, *, has_model: bool) -> Select[Any]:
    """One statement for all counters of a kind: building it takes longer than most sums."""
    horizon = bindparam("horizon_ms", type_=BigInteger)

    def counted(table: Table, moment: str) -> Iterator[ColumnElement[bool]]:
        if window is not Window.TOTAL:
            yield table.c[moment] >= bindparam("start_ms", type_=BigInteger)
            yield table.c[moment] < bindparam("end_ms", type_=BigInteger)
        if scope != Scope.GATEWAY:
            column = "account" if scope == Scope.ACCOUNT else f"{scope}_id"
            yield table.c[column] == bindparam("scope_id")
        if has_model:
            yield table.c.model == bindparam("model")

    nothing = [literal_column("0", BigInteger) for _ in _UNITS]
    held = (func.count(), *(func.sum(_rows[f"held_{unit}"]) for unit in _UNITS[1:]))
    columns: list[ColumnElement[Any]] = [each.label(f"sum_{at}") for at, each in enumerate((*nothing, *held))]
    pending = select(*columns).where(ledger_tables.IS_PENDING, *counted(ledger_tables.reservations, "reserved_at_ms"))
    parts: list[Select[Any]] = [pending]
    for table in (ledger_tables.reservations, ledger_tables.corrections):
        charged = select(*(func.sum(table.c[f"charged_{unit}"]) for unit in _UNITS), *nothing)
        parts.append(charged.where(table.c.reserved_at_ms >= horizon, *counted(table, "reserved_at_ms")))
    if window not in PART_OF_A_DAY:
        days = select(*(func.sum(_days[f"charged_{unit}"]) for unit in _UNITS), *nothing)
        parts.append(days.where(_days.day_start_ms < horizon, *counted(total_tables.usage_days, "day_start_ms")))
    return select(*(func.sum(column) for column in union_all(*parts).subquery().c))


def _wrong_totals(connection: Connection) -> Iterator[Finding]:
    query = select(_days.day_start_ms, _days.key_id, _days.model).where(_IS_WRONG_TOTAL)
    for start_ms, key_id, model in connection.execute(query.order_by(_days.day_start_ms, _days.key_id)):
        day = f"{from_ms(start_ms):%Y-%m-%d}"
        message = f"the total of {day} for key {key_id} and {model} is none that reservations can have"
        yield Finding(Severity.ERROR, "totals", f"{day} {key_id}", message)
    horizon = pruned_until(connection)
    for start_ms, key_id, model in connection.execute(wrong_totals(0 if horizon is None else to_ms(horizon))):
        since = f"{from_ms(start_ms):%Y-%m-%d %H:%M}"
        message = f"a total of {since} for key {key_id} and {model} is not the sum of its reservations"
        yield Finding(Severity.ERROR, "totals", f"{since} {key_id}", message)


def _wrong_corrections(connection: Connection) -> Iterator[Finding]:
    """Checks that a correction is of an expired reservation and has its owner, and that both together charge nothing
    below zero.
    """
    late = ledger_tables.corrections.c
    same = and_(*(late[name] == _rows[name] for name in ("key_id", "user_id", "model", "account", "reserved_at_ms")))
    teams = func.coalesce(late.team_id, "") == func.coalesce(_rows.team_id, "")
    wrong = or_(
        _rows.state != "expired",
        not_(and_(same, teams)),
        *(late[column.name] + column < 0 for column in _CHARGED),
        and_(late.state == "released", *(late[column.name] + column != 0 for column in _CHARGED)),
    )
    joined = ledger_tables.corrections.join(ledger_tables.reservations, late.reservation_id == _rows.id)
    for id_ in connection.execute(select(_rows.id).select_from(joined).where(wrong).order_by(_rows.id)).scalars():
        yield Finding(Severity.ERROR, "corrections", id_, f"the correction of reservation {id_} does not fit it")


def _unwatched_counters(connection: Connection) -> Iterator[Finding]:
    """Counters that no limit uses. The ledger does not keep them right, so there must be none."""
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
