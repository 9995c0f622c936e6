"""The ledger's hot SQL on the driver's own connection: plain statements that both SQLite and PostgreSQL understand.

Knows rows, locks and the few differences between the two engines. Decides nothing, retries nothing.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from app.database.owner_name import owner_name_sql
from app.database.schema.total_tables import TOTAL_SUMS, TOTAL_WORDS
from app.quotas.ledger.attempts.keeper import AttemptResults, forget_attempts, keep_attempts
from app.quotas.ledger.commands import Command
from app.quotas.ledger.corrections import Correction
from app.quotas.ledger.counter_sql import counter_sum
from app.quotas.ledger.execute import AppliedCounters, Writes
from app.quotas.ledger.rows import RECORD_COLUMNS, Closing, NewRow, Record, record_read
from app.quotas.ledger.sqlite_cache import SqliteCache
from app.quotas.rules.applicable import ApplicableLimits
from app.quotas.rules.counters import Counter, CounterKey
from app.quotas.rules.limits import Limit, Scope, Unit, Window
from app.quotas.rules.thresholds import NamedThresholdEvent, ThresholdEvent

# Every process takes locks in one order: reservations by id, then new counters, then counters by key, then totals of
# hours and of days by key. So batches may wait for each other, but never deadlock. A writer also holds a weak lock on
# the table of limits, and an administrative change of limits a strong one. So all batches that run at the same time see
# the same limits, and agree on which counters exist.
_BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "LOCK TABLE limits IN ROW SHARE MODE"}
_LOCKED = {"sqlite": "", "postgresql": " FOR UPDATE"}
_IN_LIST = {"sqlite": "IN (SELECT value FROM json_each(?))", "postgresql": "= ANY(?)"}

# A process that freezes during a batch must not hold everybody's counters for long.
_POSTGRESQL_SESSION = "SET idle_in_transaction_session_timeout = '10s'"

_KNOWN_COUNTERS_MAX = 100_000

_COUNTER_COLUMNS = tuple(field.name for field in fields(Counter))
_counter_values = attrgetter(*_COUNTER_COLUMNS)
_KEY_COLUMNS = ("scope", "scope_id", "model", '"window"', "window_start_ms")


class CounterVanished(Exception):
    """Another process has deleted a counter that was there: begin the transaction again."""


def _comma(names: Iterable[str]) -> str:
    return ", ".join(names)


def _assign(names: Iterable[str]) -> str:
    return ", ".join(f"{name} = ?" for name in names)


def _match(names: Iterable[str]) -> str:
    return " AND ".join(f"{name} = ?" for name in names)


def _insert(table: str, names: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({_comma(names)}) VALUES ({_comma('?' * len(names))})"  # noqa: S608 - names of ours


_REVISION = "SELECT value FROM revision"
_DATA_VERSION = "PRAGMA data_version"
_LIMITS = (
    'SELECT unit, amount, "window", model, shadow, raised_amount, raised_until_ms '
    "FROM limits WHERE scope = ? AND scope_id = ? ORDER BY id"
)
_RECORDS = f"SELECT {_comma(RECORD_COLUMNS)} FROM reservations WHERE id %s ORDER BY id%s"  # noqa: S608 - names of ours
_NEW_RESERVATION = _insert("reservations", NewRow._fields)
_FORGET_RESERVATION = "DELETE FROM reservations WHERE id = ?"
_DISPATCHED = "UPDATE reservations SET dispatched_at_ms = ? WHERE id = ? AND state = 'pending'"
_MOVED = "UPDATE reservations SET account = ?, dispatched_at_ms = ? WHERE id = ? AND state = 'pending'"
_CLOSE = f"UPDATE reservations SET {_assign(Closing._fields)} WHERE id = ? AND state = 'pending'"  # noqa: S608 - names of ours
_CORRECTIONS = f"SELECT {_comma(Correction._fields)} FROM corrections WHERE reservation_id = ?"  # noqa: S608 - names of ours
_NEW_CORRECTION = _insert("corrections", Correction._fields)
_NEW_COUNTER = f"{_insert('counters', _KEY_COLUMNS)} ON CONFLICT DO NOTHING RETURNING 1"
_COUNTER = f"SELECT {_comma(_COUNTER_COLUMNS)} FROM counters WHERE {_match(_KEY_COLUMNS)}"  # noqa: S608 - names of ours
_SET_COUNTER = f"UPDATE counters SET {_assign(_COUNTER_COLUMNS)} WHERE {_match(_KEY_COLUMNS)}"  # noqa: S608 - names of ours


def _adding(table: str, start: str) -> str:
    key = (start, *TOTAL_WORDS)
    sums = _comma(f"{name} = {table}.{name} + excluded.{name}" for name in TOTAL_SUMS)
    return f"{_insert(table, (*key, *TOTAL_SUMS))} ON CONFLICT ({_comma(key)}) DO UPDATE SET {sums}"


_ADD_TO_HOURS = _adding("usage_hours", "hour_start_ms")
_ADD_TO_DAYS = _adding("usage_days", "day_start_ms")

# A batch holds the lock of the counter that an event is about, so two batches never write the same event.
_CROSSING_COLUMNS = tuple(f'"{name}"' for name in ThresholdEvent._fields)
_OWNER_NAME = owner_name_sql("threshold_events")
_NEW_CROSSING = f"{_insert('threshold_events', _CROSSING_COLUMNS)} ON CONFLICT DO NOTHING RETURNING {_OWNER_NAME}"
_SAME_CROSSING = f"SELECT {_OWNER_NAME} FROM threshold_events WHERE {_match(_CROSSING_COLUMNS[:-1])}"  # noqa: S608 - names of ours


class Store:
    """One connection for the transactions of the ledger. Not thread-safe: it belongs to the writer's thread.

    Close it after a failed transaction, because it may have cached what was not committed.
    """

    def __init__(self, connection: Any, dialect: str) -> None:  # noqa: ANN401 - a DBAPI connection has no common type
        """`connection` is the driver's, outside of a transaction. `dialect` is sqlite or postgresql."""
        self._connection = connection
        self._cursor = connection.cursor()
        self._dialect = dialect
        self._memory = SqliteCache() if dialect == "sqlite" else None
        self._known: set[CounterKey] = set()  # counters that existed before, so that they need not be inserted
        self._seen: set[CounterKey] = set()  # those of this transaction
        if dialect == "postgresql":
            self._cursor.execute(_POSTGRESQL_SESSION)
            connection.commit()

    def begin(self) -> int:
        """Opens a transaction that sees the same limits until its end. Returns their revision."""
        self._cursor.execute(_BEGIN[self._dialect])
        memory = self._memory
        if memory is None:
            return self._number(_REVISION)
        memory.turn_to(self._number(_DATA_VERSION))
        if memory.revision is None:
            memory.revision = self._number(_REVISION)
        return memory.revision

    def commit(self) -> None:
        self._connection.commit()
        if len(self._known) > _KNOWN_COUNTERS_MAX:
            self._known.clear()
        self._known |= self._seen
        self._seen.clear()

    def forget_counters(self) -> None:
        """The limits changed, so counters may have been deleted."""
        self._known.clear()

    def read_limits(self, scopes: Sequence[tuple[str, str]]) -> list[list[Limit]]:
        """The limits of each scope, in the order of `scopes`."""
        return [
            [
                Limit(Unit(unit), amount, Window(window), Scope(scope), scope_id, model, bool(shadow), *raised)
                for unit, amount, window, model, shadow, *raised in rows
            ]
            for (scope, scope_id), rows in zip(scopes, self._each(_LIMITS, scopes), strict=True)
        ]

    def read_records(self, ids: Collection[str]) -> dict[str, Record]:
        """The reservations that exist, locked until the transaction ends."""
        found = {} if self._memory is None else self._memory.records_of(ids)
        wanted = [id_ for id_ in ids if id_ not in found]
        if wanted:
            text = _RECORDS % (_IN_LIST[self._dialect], _LOCKED[self._dialect])
            (rows,) = self._each(text, [(json.dumps(wanted) if self._dialect == "sqlite" else wanted,)])
            found.update((row[0], record_read(row)) for row in rows)
        return found

    def read_corrections(self, ids: Sequence[str]) -> dict[str, Correction]:
        """The existing corrections of reservations that this transaction has locked."""
        found = self._each(_CORRECTIONS, [(id_,) for id_ in ids])
        return {id_: Correction(*rows[0]) for id_, rows in zip(ids, found, strict=True) if rows}

    def applied_counters(self) -> dict[ApplicableLimits, AppliedCounters]:
        """Those made before for known counters; the transaction adds to them."""
        return {} if self._memory is None else self._memory.applied_counters

    def keep(self, records: Mapping[str, Record]) -> None:
        """After the commit: the new state of these reservations."""
        if self._memory is not None:
            self._memory.keep(records)

    def read_counters(self, keys: Sequence[CounterKey]) -> dict[CounterKey, Counter]:
        """The counters of `keys` (sorted), locked, and perhaps other known ones. A missing counter is made and filled
        from its reservations.

        Raises CounterVanished if another process deletes one meanwhile.
        """
        if self._memory is None:
            return self._read_counters(keys)
        counters = self._memory.counters
        missing = [key for key in keys if key not in counters]
        if missing:
            counters.update(self._read_counters(missing))
        return counters

    def _read_counters(self, keys: Sequence[CounterKey]) -> dict[CounterKey, Counter]:
        unknown = [key for key in keys if key not in self._known]
        made = [key for key, rows in zip(unknown, self._each(_NEW_COUNTER, unknown), strict=True) if rows]
        found = self._each(_COUNTER + _LOCKED[self._dialect], keys)
        if not all(found):
            raise CounterVanished
        counters = {key: Counter(*rows[0]) for key, rows in zip(keys, found, strict=True)}
        for key in made:
            counters[key] = self._sum(key)
        self._set_counters({key: counters[key] for key in made})
        self._seen.update(unknown)
        return counters

    def keep_attempts(self, commands: Sequence[Command]) -> AttemptResults:
        """What the commands say of attempts is written."""
        return keep_attempts(commands, self._each)

    def write(self, writes: Writes, counters: dict[CounterKey, Counter]) -> None:
        """Writes what a batch decided. Raises RuntimeError, before any commit, if a row is not as it was read."""
        self._many(_NEW_RESERVATION, writes.inserted)
        if writes.probes:
            self._many(_NEW_RESERVATION, writes.probes)
            self._many(_FORGET_RESERVATION, [(row.id,) for row in writes.probes])
        self._many(_MOVED, writes.moved)
        forget_attempts(writes.unclaimed, self._each)
        self._many(_DISPATCHED, writes.dispatched)
        self._many(_NEW_CORRECTION, writes.corrections)
        self._many(_CLOSE, [(*closing, id_) for closing, id_ in writes.closed])
        self._set_counters({key: counters[key] for applicable in writes.touched for key in applicable.keys})
        hours, days = writes.totals.rows()
        self._many(_ADD_TO_HOURS, hours)
        self._many(_ADD_TO_DAYS, days)

    def write_threshold_events(self, threshold_events: Sequence[ThresholdEvent]) -> list[NamedThresholdEvent]:
        """Writes the events that nobody has written yet. Returns those."""
        return _named(threshold_events, self._each(_NEW_CROSSING, threshold_events))

    def find_threshold_events(self, threshold_events: Sequence[ThresholdEvent]) -> list[NamedThresholdEvent]:
        """The events that are in the store exactly as given here: they were written by us."""
        return _named(
            threshold_events, self._each(_SAME_CROSSING, [threshold_event[:-1] for threshold_event in threshold_events])
        )

    def _number(self, text: str) -> int:
        self._cursor.execute(text)
        value: int = self._cursor.fetchone()[0]
        return value

    def _sum(self, key: CounterKey) -> Counter:
        text, values = counter_sum(key)
        (row,) = self._each(text, [values])[0]
        return Counter(*(int(value or 0) for value in row))  # PostgreSQL sums bigints to a Decimal

    def _set_counters(self, counters: dict[CounterKey, Counter]) -> None:
        self._many(_SET_COUNTER, [(*_counter_values(counter), *key) for key, counter in counters.items()])

    def _each(self, text: str, parameters: Sequence[Sequence[object]]) -> list[list[tuple[Any, ...]]]:
        """The rows that a statement gives for each parameter set, in order."""
        if self._dialect == "sqlite":
            return [self._cursor.execute(text, values).fetchall() for values in parameters]
        if not parameters:
            return []
        # psycopg sends all of them before it waits for the first answer.
        self._cursor.executemany(_percent(text), parameters, returning=True)
        return [result.fetchall() for result in self._cursor.results()]

    def _many(self, text: str, parameters: Sequence[Sequence[object]]) -> None:
        if not parameters:
            return
        self._cursor.executemany(text if self._dialect == "sqlite" else _percent(text), parameters)
        if self._cursor.rowcount != len(parameters):
            raise RuntimeError(f"{self._cursor.rowcount} rows changed instead of {len(parameters)}: {text}")


def _named(threshold_events: Sequence[ThresholdEvent], found: list[list[tuple[Any, ...]]]) -> list[NamedThresholdEvent]:
    return [NamedThresholdEvent(each, rows[0][0]) for each, rows in zip(threshold_events, found, strict=True) if rows]


def _percent(text: str) -> str:
    """Question marks as psycopg's placeholders. No statement here has either sign in another meaning."""
    return text.replace("?", "%s")
