"""The first value of a new limit's counter. The past is added up without a lock; under the lock on limits only what
happened since. Otherwise the ledger would add up years of records at the next request, and every request would wait.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Select, Table, func, insert, select

from app.database.clock import to_ms
from app.database.schema import ledger_tables, limit_tables, total_tables
from app.quotas.rules.counters import Counter, CounterKey
from app.quotas.rules.limits import Limit, Scope, Window
from app.quotas.rules.reservation import Amounts, State

_PAST = timedelta(days=1)  # nothing older is still being made, except if a clock is set back; that is noticed

_PENDING_MAX = 10_000  # more than can have been running for a day

_rows = ledger_tables.reservations.c
_days = total_tables.usage_days.c
_late = ledger_tables.corrections.c
_counters = limit_tables.counters

_UNITS = Amounts._fields
_BOTH = (*(_rows[f"charged_{unit}"] for unit in _UNITS), *(_rows[f"held_{unit}"] for unit in _UNITS[1:]))


@dataclass(frozen=True, slots=True)
class Past:
    """What a counter counts of the reservations made before `until_ms`: `settled`, and the ids of those still pending.

    `made` is the number of reservations in its scope, whatever their state. `corrections` is the number of their
    corrections and the sums. If these differ later, the result is not used.
    """

    key: CounterKey
    until_ms: int
    settled: Amounts
    pending: frozenset[str]
    made: int
    corrections: tuple[int, ...]


def add_up_past(connection: Connection, limit: Limit, now: datetime) -> Past | None:
    """Adds up the past, however long that takes: call it inside `reading`. None if the limit needs no such counter, if
    the counter exists, or if too many reservations have been pending for too long.
    """
    if limit.counter_window is not Window.TOTAL or limit.scope is Scope.DEFAULT:
        return None
    key = CounterKey(limit.scope.value, limit.scope_id, limit.model, Window.TOTAL.value, 0)
    if _is_there(connection, key):
        return None
    until_ms = to_ms(now - _PAST)
    mine = [*_counted(ledger_tables.reservations, key), _rows.reserved_at_ms < until_ms]
    pending = (
        connection.execute(select(_rows.id).where(ledger_tables.IS_PENDING, *mine).limit(_PENDING_MAX + 1))
        .scalars()
        .all()
    )
    if len(pending) > _PENDING_MAX:
        return None
    charged = _amounts(connection, select(*(func.sum(_rows[f"charged_{unit}"]) for unit in _UNITS)).where(*mine))
    totals = select(*(func.sum(_days[f"charged_{unit}"]) for unit in _UNITS))
    pruned = _amounts(connection, totals.where(*_counted(total_tables.usage_days, key)))
    corrections = _corrections(connection, key)
    settled = _plus(_plus(charged, pruned), Amounts(*corrections[1:]))
    return Past(key, until_ms, settled, frozenset(pending), _made(connection, key, until_ms), corrections)


def make_counter(connection: Connection, past: Past) -> bool:
    """Makes the counter, in the transaction of `set_limit` and after it, which holds the lock.

    False if the past has changed or the counter exists by now. The ledger then makes the counter itself.
    """
    if _is_there(connection, past.key) or _made(connection, past.key, past.until_ms) != past.made:
        return False
    if _corrections(connection, past.key) != past.corrections:
        return False
    late = connection.execute(select(*_BOTH, _rows.state).where(_rows.id.in_(past.pending))).all()
    if len(late) != len(past.pending):
        return False
    recent = select(*_BOTH, _rows.state).where(
        *_counted(ledger_tables.reservations, past.key), _rows.reserved_at_ms >= past.until_ms
    )
    counter = Counter(*(getattr(past.settled, unit) for unit in _UNITS))
    for rows in (late, connection.execute(recent, execution_options={"yield_per": 1000})):
        for *amounts, state in rows:
            charged, held = amounts[: len(_UNITS)], Amounts(1, *amounts[len(_UNITS) :])
            counter.hold(held)
            if state != State.PENDING:
                counter.resolve(held, Amounts(*charged))
    connection.execute(insert(_counters).values(**past.key._asdict(), **asdict(counter)))
    return True


def _is_there(connection: Connection, key: CounterKey) -> bool:
    same = (_counters.c[name] == value for name, value in zip(key._fields, key, strict=True))
    return connection.execute(select(_counters.c.scope).where(*same)).first() is not None


def _counted(table: Table, key: CounterKey, *, any_model: bool = False) -> Iterator[ColumnElement[bool]]:
    if key.scope != Scope.GATEWAY:
        column = "account" if key.scope == Scope.ACCOUNT else f"{key.scope}_id"
        yield table.c[column] == key.scope_id
    if key.model and not any_model:
        yield table.c.model == key.model


def _made(connection: Connection, key: CounterKey, until_ms: int) -> int:
    """Read from an index alone, so over all models. Settling and pruning do not change it; a new reservation would."""
    mine = _counted(ledger_tables.reservations, key, any_model=True)
    there = connection.execute(select(func.count()).where(*mine, _rows.reserved_at_ms < until_ms)).scalar_one()
    pruned = select(func.sum(_days.requests)).where(*_counted(total_tables.usage_days, key, any_model=True))
    return int(there) + int(connection.execute(pruned).scalar_one() or 0)


def _corrections(connection: Connection, key: CounterKey) -> tuple[int, ...]:
    """Corrections are always few."""
    sums = (func.sum(_late[f"charged_{unit}"]) for unit in _UNITS)
    query = select(func.count(), *sums).where(*_counted(ledger_tables.corrections, key))
    return tuple(int(value or 0) for value in connection.execute(query).one())


def _amounts(connection: Connection, query: Select[tuple[int, ...]]) -> Amounts:
    return Amounts(*(int(value or 0) for value in connection.execute(query).one()))


def _plus(one: Amounts, other: Amounts) -> Amounts:
    return Amounts(*(getattr(one, unit) + getattr(other, unit) for unit in _UNITS))
