"""The one thread of a process that writes the ledger: it takes the waiting commands, carries them out in one
transaction, and delivers the outcomes (group commit). Knows threads, retries and what a failing store means for each
command. execute.py knows what a command does.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy.exc
from sqlalchemy import Engine

from app.database.store_file import check_file
from app.errors import StoreUnavailable
from app.quotas.ledger.commands import CommandResult, Reserve, Resolve, Ticket, doubtful_ids, records_needed
from app.quotas.ledger.execute import Loaded, execute, late_ids, parties_needed
from app.quotas.ledger.store import CounterVanished, Store
from app.quotas.rules.applicable import LimitCache
from app.quotas.rules.thresholds import UNWATCHED, NamedThresholdEvent, Thresholds, Watch

_BATCH_MAX = 256
_GATHERS_ABOVE, _GATHER_SECONDS = 3, 0.002  # after a batch of more commands, the writer lets a few more come first
_TRIES = 5
_BACKOFF_SECONDS_FIRST, _BACKOFF_SECONDS_MAX = 0.05, 2.0
_JOIN_SECONDS = 5.0  # how long a hanging statement may delay the end of the process

# PostgreSQL's codes for "begin the transaction again": serialization failure, deadlock.
_CONFLICTS = {"40001", "40P01"}
# And for a database that a person has to repair: no permission on a table, no such table or column.
_UNFIT = {"42501", "42P01", "42703"}

_log = logging.getLogger(__name__)


class CommitFailed(Exception):
    """The commit was sent and no answer came."""


Deliver = Callable[[Sequence[tuple[Ticket, CommandResult]]], None]


class Writer:
    """A bounded queue of commands and the thread that serves it.

    `deliver` is called in that thread, once per batch. `watch.announce` is called after it, if a threshold was crossed.
    Resolutions are never refused, and never dropped while the thread lives. Each one ends an admitted reservation, so
    their number is bounded.
    """

    def __init__(
        self, engine: Engine, *, instance: str, queue_max: int, deliver: Deliver, watch: Watch = UNWATCHED
    ) -> None:
        self._engine = engine
        self._pool = engine.pool.recreate()  # a pool of its own, so that readers cannot use up its connections
        self._instance = instance
        self._queue_max = queue_max
        self._watch = watch
        self.thresholds = Thresholds(watch)  # any thread may put another one in its place
        self._crossed: list[NamedThresholdEvent] = []  # to be announced; after a commit without an answer: perhaps
        self._tell = deliver
        self._queue: deque[Ticket] = deque()
        self._serving: list[Ticket] = []
        self._one_by_one = 0  # so many of the next tickets get a transaction of their own, which checks more
        self._is_careful = False
        self._lock = threading.Lock()  # around the queue; taken without its condition, which saves two calls
        self._changed = threading.Condition(self._lock)
        self._closing = False
        self._give_up = threading.Event()
        self._backoff_seconds = 0.0
        self._connection: Any = None  # the driver's
        self._store: Store | None = None
        self._limit_cache = LimitCache()
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, ticket: Ticket) -> None:
        """Appends a command to the queue and wakes the thread. Raises as `enqueue` does."""
        self.enqueue(ticket)
        self.wake()

    def enqueue(self, ticket: Ticket) -> None:
        """Appends a command to the queue, for the next `wake`. Raises StoreUnavailable for a reserve if the queue is
        full, and for every command once the writer is closed.
        """
        with self._lock:
            if self._closing and (isinstance(ticket.command, Reserve) or not self._thread.is_alive()):
                raise StoreUnavailable("The gateway is stopping; try again shortly.")
            if len(self._queue) >= self._queue_max and isinstance(ticket.command, Reserve):
                raise StoreUnavailable("The gateway's database cannot keep up; try again shortly.")
            self._queue.append(ticket)

    def wake(self) -> None:
        """Makes the thread look at the queue. One call after many commands makes them one transaction."""
        with self._lock:
            self._changed.notify()

    def withdraw(self, ticket: Ticket) -> None:
        """Removes a command from the queue, if it has not been begun."""
        with self._lock, suppress(ValueError):
            self._queue.remove(ticket)

    @property
    def is_store_away(self) -> bool:
        """Whether the last transaction failed because of the store."""
        return self._backoff_seconds > 0

    def unwritten_resolutions(self) -> list[Ticket]:
        """Those that wait or are being written, oldest first."""
        with self._lock:
            tickets = (*self._serving, *self._queue)
        return [ticket for ticket in tickets if isinstance(ticket.command, Resolve) and ticket.outcome is None]

    def close(self, seconds: float) -> list[Ticket]:
        """Writes what waits, for at most `seconds`, and ends the thread. Idempotent.

        Returns what could not be written: reserves then fail, resolutions are lost unless they are spooled.
        """
        with self._lock:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(seconds)
            self._give_up.set()
            self._thread.join(_JOIN_SECONDS)
        with self._lock:
            unwritten = [*self._serving, *self._queue]
            self._queue.clear()
        return unwritten

    def _run(self) -> None:
        while tickets := self._take():
            try:
                self._serve(tickets)
            except Exception:  # noqa: BLE001 - a bug, whatever it is: the thread must live on
                _log.exception("the ledger's writer failed; it goes on")
        self._disconnect()

    def _take(self) -> list[Ticket]:
        """The next batch; empty when it is time to stop."""
        with self._lock:
            is_busy, self._serving = len(self._serving) > _GATHERS_ABOVE, []
            while not self._queue and not self._closing:
                self._changed.wait()
        if is_busy:  # a transaction costs more than what it carries; a caller alone never waits
            time.sleep(_GATHER_SECONDS)
        with self._lock:
            if not self._give_up.is_set():
                self._is_careful = self._one_by_one > 0
                size = min(len(self._queue), 1 if self._is_careful else _BATCH_MAX)
                self._serving = [self._queue.popleft() for _ in range(size)]
                self._one_by_one = max(self._one_by_one - 1, 0)
            return self._serving

    def _serve(self, tickets: list[Ticket]) -> None:
        try:
            outcomes = self._transact_with_retries(tickets)
        except Exception as error:  # noqa: BLE001 - sorted out below, and every ticket gets its answer
            self._disconnect()
            if self._tells_of_the_store(error):
                self._wait_for_the_store(tickets, error)
            elif not self._is_careful:
                # One command cannot be carried out; the others must not fail with it. Nothing was committed.
                self._one_by_one = len(tickets)
                self._put_back(tickets)
            else:
                _log.exception("the ledger cannot carry out %s", type(tickets[0].command).__name__)
                self._deliver([(tickets[0], _failure())])
            return
        self._backoff_seconds = 0.0
        self._deliver(list(zip(tickets, outcomes, strict=True)))
        crossed, self._crossed = self._crossed, []
        if crossed:
            self._watch.announce(crossed)

    def _transact_with_retries(self, tickets: list[Ticket]) -> list[CommandResult]:
        """Begins again, a few times, after a conflict between processes, or if a connection turns out to be dead."""
        for _ in range(_TRIES - 1):
            is_fresh = self._store is None
            try:
                return self._transact(tickets)
            except CommitFailed:
                raise
            except Exception as error:
                if not _is_conflict(error) and (is_fresh or not self._tells_of_the_store(error)):
                    raise
                self._disconnect()
        return self._transact(tickets)

    def _transact(self, tickets: list[Ticket]) -> list[CommandResult]:
        check_file(self._engine)
        store = self._store or self._connect()
        commands = [ticket.command for ticket in tickets]
        if self._limit_cache.turn_to(store.begin()):
            store.forget_counters()
        attempts = store.keep_attempts(commands)
        # New reservations are not looked up first: the primary key refuses a duplicate id, and with it the batch.
        records = store.read_records(records_needed(commands, with_new=self._is_careful))
        parties = parties_needed(commands, records)
        missing = self._limit_cache.missing({party for party, _ in parties.values()})
        if missing:
            for scope, limits in zip(missing, store.read_limits(missing), strict=True):
                self._limit_cache.bring(scope, limits)
        applicable_by_id = {
            id_: self._limit_cache.plan(party).applicable(at_ms) for id_, (party, at_ms) in parties.items()
        }
        counters = store.read_counters(
            list({key for applicable in set(applicable_by_id.values()) for key in applicable.keys})
        )
        in_doubt, applied_counters = doubtful_ids(tickets), store.applied_counters()
        loaded = Loaded(
            self._instance, records, applicable_by_id, counters, in_doubt, self.thresholds, applied_counters, attempts
        )
        if late := late_ids(commands, records):
            loaded.corrections.update(store.read_corrections(late))
        outcomes, writes = execute(commands, loaded)
        store.write(writes, counters)
        if self._crossed or writes.threshold_events:
            crossed = [named_event.threshold_event for named_event in self._crossed]
            self._crossed = [
                *store.find_threshold_events(crossed),
                *store.write_threshold_events(writes.threshold_events),
            ]
        self._commit(store, tickets)
        store.keep(records)
        loaded.thresholds.remember(writes.threshold_events)
        if writes.corrected:
            self._watch.corrected(writes.corrected)
        return outcomes

    def _commit(self, store: Store, tickets: list[Ticket]) -> None:
        try:
            store.commit()
        except Exception as error:
            for ticket in tickets:
                ticket.in_doubt = True
            raise CommitFailed from error
        for ticket in tickets:
            ticket.in_doubt = False

    def _wait_for_the_store(self, tickets: list[Ticket], error: Exception) -> None:
        """The store is away. Resolutions stay first in the queue; all other commands fail."""
        if not self._backoff_seconds:
            _log.warning("the ledger's database is away: %s", type(error).__name__)
        kept = [ticket for ticket in tickets if isinstance(ticket.command, Resolve)]
        self._deliver([(ticket, _failure()) for ticket in tickets if not isinstance(ticket.command, Resolve)])
        self._put_back(kept)
        self._backoff_seconds = min(max(self._backoff_seconds * 2, _BACKOFF_SECONDS_FIRST), _BACKOFF_SECONDS_MAX)
        self._give_up.wait(self._backoff_seconds)

    def _deliver(self, served: list[tuple[Ticket, CommandResult]]) -> None:
        for ticket, outcome in served:
            ticket.outcome = outcome
        self._tell(served)

    def _put_back(self, tickets: list[Ticket]) -> None:
        with self._lock:
            self._serving = []
            self._queue.extendleft(reversed(tickets))

    def _tells_of_the_store(self, error: Exception) -> bool:
        driver, ours = self._engine.dialect.loaded_dbapi, (CounterVanished, CommitFailed, StoreUnavailable)
        away = (driver.OperationalError, driver.InterfaceError, driver.InternalError, *ours)
        # SQLite raises a bare DatabaseError for a damaged file. SQLAlchemy's errors come from its pool.
        return (
            isinstance(error, (*away, sqlalchemy.exc.SQLAlchemyError))
            or type(error) is driver.DatabaseError
            or getattr(error, "sqlstate", None) in _UNFIT
        )

    def _connect(self) -> Store:
        pooled = self._pool.connect()
        self._connection = pooled.driver_connection
        pooled.detach()  # this thread keeps it, with settings of its own
        self._store = Store(self._connection, self._engine.dialect.name)
        return self._store

    def _disconnect(self) -> None:
        """Also ends the transaction: SQLite keeps the locks of a closed connection while a cursor of it exists."""
        connection, self._connection, self._store = self._connection, None, None
        if connection is not None:
            for end in (connection.rollback, connection.close):
                try:
                    end()
                except Exception as error:  # noqa: BLE001 - it is broken anyway
                    _log.debug("closing the ledger's connection: %s", type(error).__name__)


def _is_conflict(error: Exception) -> bool:
    return isinstance(error, CounterVanished) or getattr(error, "sqlstate", None) in _CONFLICTS


def _failure() -> StoreUnavailable:
    return StoreUnavailable("The gateway's database is not available; try again shortly.")
