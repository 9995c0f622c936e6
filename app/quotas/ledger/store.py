"""The ledger's hot SQL on the driver's own connection: plain statements, not SQLAlchemy's.

Knows rows, locks and the few differences between the two engines. Decides nothing, retries nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from app.database.owner_name import owner_name_sql
from app.database.schema.total_tables import TOTAL_SUMS, TOTAL_WORDS
from app.quotas.ledger.attempts.keeper import AttemptResults, forget_attempts, keep_attempts
from app.quotas.ledger.commands import Command
from app.quotas.ledger.corrections import Correction
from app.quotas.ledger.execute import AppliedCounters, Writes
from app.quotas.ledger.rows import RECORD_COLUMNS, Closing, NewRow, Record, record_read
from app.quotas.ledger.sql.counter_sum import counter_sum
from app.quotas.ledger.sql.running import OnPostgresql, OnSqlite, Row, Values
from app.quotas.ledger.sql.statements import Statement, comma, delete, insert, match, select_locked, update
from app.quotas.ledger.sqlite_cache import SqliteCache
from app.quotas.rules.applicable import ApplicableLimits
from app.quotas.rules.counters import Counter, CounterKey
from app.quotas.rules.limits import Limit, Scope, Unit, Window
from app.quotas.rules.thresholds import NamedThresholdEvent, ThresholdEvent

_REVISION = "SELECT value FROM revision"

# Every process takes locks in one order: reservations by id, then new counters, then counters by key, then totals of
# hours and of days by key. So batches may wait for each other, but never deadlock. A writer also holds a weak lock on
# the table of limits, and an administrative change of limits a strong one. So all batches that run at the same time see
# the same limits, and agree on which counters exist.
_BEGIN: dict[str, Sequence[tuple[str, Values]]] = {
    "sqlite": [("BEGIN IMMEDIATE", ()), ("PRAGMA data_version", ())],
    "postgresql": [("BEGIN", ()), ("LOCK TABLE limits IN ROW SHARE MODE", ()), (_REVISION, ())],
}

# A process that freezes during a batch must not hold everybody's counters for long. And rows are found by their keys:
# PostgreSQL keeps plans, and one made while a table was small would read all of it when it is large.
_POSTGRESQL_SESSION = """
    SELECT set_config('idle_in_transaction_session_timeout', '10s', false),
           set_config('enable_hashjoin', 'off', false),
           set_config('enable_mergejoin', 'off', false),
           set_config('enable_material', 'off', false)
"""

_KNOWN_COUNTERS_MAX = 100_000

_COUNTER_COLUMNS = tuple(field.name for field in fields(Counter))
_counter_values = attrgetter(*_COUNTER_COLUMNS)
_KEY_COLUMNS = ("scope", "scope_id", "model", '"window"', "window_start_ms")
_KEY_SIZE = len(_KEY_COLUMNS)


class CounterVanished(Exception):
    """Another process has deleted a counter that was there: begin the transaction again."""


_LIMITS = (
    'SELECT unit, amount, "window", model, shadow, raised_amount, raised_until_ms '
    "FROM limits WHERE scope = ? AND scope_id = ? ORDER BY id"
)
_RECORDS = select_locked("reservations", RECORD_COLUMNS, ("id",))
_NEW_RESERVATIONS = insert("reservations", NewRow._fields)
_FORGET_RESERVATIONS = delete("reservations", ("id",))
_DISPATCHED = update("reservations", ("dispatched_at_ms",), ("id",), only_pending=True)
_MOVED = update("reservations", ("account", "dispatched_at_ms"), ("id",), only_pending=True)
_CLOSE = update("reservations", Closing._fields, ("id",), only_pending=True)
_CORRECTIONS = f"SELECT {comma(Correction._fields)} FROM corrections WHERE reservation_id = ?"  # noqa: S608 - names of ours
_NEW_CORRECTIONS = insert("corrections", Correction._fields)
_NEW_COUNTERS = insert(
    "counters", _KEY_COLUMNS, f"ON CONFLICT DO NOTHING RETURNING {comma(_KEY_COLUMNS)}", ordered_by=_KEY_COLUMNS
)
_COUNTERS = select_locked("counters", (*_KEY_COLUMNS, *_COUNTER_COLUMNS), _KEY_COLUMNS)
_SET_COUNTERS = update("counters", _COUNTER_COLUMNS, _KEY_COLUMNS)


def _adding(table: str, start: str) -> Statement:
    key = (start, *TOTAL_WORDS)
    sums = comma(f"{name} = {table}.{name} + excluded.{name}" for name in TOTAL_SUMS)
    return insert(table, (*key, *TOTAL_SUMS), f"ON CONFLICT ({comma(key)}) DO UPDATE SET {sums}", ordered_by=key)


_ADD_TO_HOURS = _adding("usage_hours", "hour_start_ms")
_ADD_TO_DAYS = _adding("usage_days", "day_start_ms")

# A batch holds the lock of the counter that an event is about, so two batches never write the same event.
_CROSSING_COLUMNS = tuple(f'"{name}"' for name in ThresholdEvent._fields)
_OWNER_NAME = owner_name_sql("threshold_events")
_NEW_CROSSING = insert(
    "threshold_events", _CROSSING_COLUMNS, f"ON CONFLICT DO NOTHING RETURNING {_OWNER_NAME}"
).for_each
_SAME_CROSSING = f"SELECT {_OWNER_NAME} FROM threshold_events WHERE {match(_CROSSING_COLUMNS[:-1])}"  # noqa: S608 - names of ours


class Store:
    """One connection for the transactions of the ledger. Not thread-safe: it belongs to the writer's thread.

    Close it after a failed transaction, because it may have cached what was not committed.
    """

    def __init__(self, connection: Any, dialect: str) -> None:  # noqa: ANN401 - a DBAPI connection has no common type
        """`connection` is the driver's, outside of a transaction. `dialect` is sqlite or postgresql."""
        self._connection = connection
        self._runner = (OnSqlite if dialect == "sqlite" else OnPostgresql)(connection)
        self._dialect = dialect
        self._memory = SqliteCache() if dialect == "sqlite" else None
        self._known: set[CounterKey] = set()  # counters that existed before, so that they need not be inserted
        self._seen: set[CounterKey] = set()  # those of this transaction
        if dialect == "postgresql":
            connection.execute(_POSTGRESQL_SESSION)
            connection.commit()

    def begin(self) -> int:
        """Opens a transaction that sees the same limits until its end. Returns their revision."""
        *_, ((number,),) = self._runner.run(_BEGIN[self._dialect])
        memory = self._memory
        if memory is None:
            return int(number)
        memory.turn_to(number)
        if memory.revision is None:
            (((memory.revision,),),) = self._runner.run([(_REVISION, ())])
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
        wanted = [(id_,) for id_ in ids if id_ not in found]
        found.update((row[0], record_read(row)) for row in self._runner.select(_RECORDS, wanted))
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
        """The counters of `keys` (no key twice), locked, and perhaps other known ones. A missing counter is made and
        filled from its reservations.

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
        made = [CounterKey(*row) for row in self._runner.select(_NEW_COUNTERS, unknown)]
        counters = {
            CounterKey(*row[:_KEY_SIZE]): Counter(*row[_KEY_SIZE:]) for row in self._runner.select(_COUNTERS, keys)
        }
        if len(counters) < len(keys):
            raise CounterVanished
        if made:
            counters.update(self._sums(made))
            with self._runner.together():
                self._set_counters({key: counters[key] for key in made})
        self._seen.update(unknown)
        return counters

    def keep_attempts(self, commands: Sequence[Command]) -> AttemptResults:
        """What the commands say of attempts is written."""
        return keep_attempts(commands, self._each)

    def write(self, writes: Writes, counters: dict[CounterKey, Counter]) -> None:
        """Writes what a batch decided. Raises RuntimeError, before any commit, if a row is not as it was read."""
        change = self._runner.change
        forget_attempts(writes.unclaimed, self._each)
        with self._runner.together():
            change(_NEW_RESERVATIONS, writes.inserted)
            change(_NEW_RESERVATIONS, writes.probes)
            change(_FORGET_RESERVATIONS, [(row.id,) for row in writes.probes])
            change(_MOVED, [(*to, id_) for id_, to in writes.moved.items()])
            change(_DISPATCHED, [(at_ms, id_) for id_, at_ms in writes.dispatched.items()])
            change(_NEW_CORRECTIONS, writes.corrections)
            change(_CLOSE, [(*closing, id_) for closing, id_ in writes.closed])
            self._set_counters({key: counters[key] for applicable in writes.touched for key in applicable.keys})
            hours, days = writes.totals.rows()
            change(_ADD_TO_HOURS, hours)
            change(_ADD_TO_DAYS, days)

    def write_threshold_events(self, threshold_events: Sequence[ThresholdEvent]) -> list[NamedThresholdEvent]:
        """Writes the events that nobody has written yet. Returns those."""
        return _named(threshold_events, self._each(_NEW_CROSSING, threshold_events))

    def find_threshold_events(self, threshold_events: Sequence[ThresholdEvent]) -> list[NamedThresholdEvent]:
        """The events that are in the store exactly as given here: they were written by us."""
        return _named(
            threshold_events,
            self._each(_SAME_CROSSING, [threshold_event[:-1] for threshold_event in threshold_events]),
        )

    def _sums(self, keys: Sequence[CounterKey]) -> dict[CounterKey, Counter]:
        sums = self._runner.run([counter_sum(key) for key in keys])
        # PostgreSQL sums bigints to a Decimal.
        return {key: Counter(*(int(value or 0) for value in row)) for key, (row,) in zip(keys, sums, strict=True)}

    def _each(self, text: str, parameters: Sequence[Values]) -> list[list[Row]]:
        """The rows that a statement gives for each parameter set, in order."""
        return self._runner.run([(text, values) for values in parameters])

    def _set_counters(self, counters: dict[CounterKey, Counter]) -> None:
        self._runner.change(_SET_COUNTERS, [(*_counter_values(counter), *key) for key, counter in counters.items()])


def _named(threshold_events: Sequence[ThresholdEvent], found: list[list[Row]]) -> list[NamedThresholdEvent]:
    return [NamedThresholdEvent(each, rows[0][0]) for each, rows in zip(threshold_events, found, strict=True) if rows]
