"""Shows other processes that this one lives, and finds those that do not. Rows are written in the database's own time,
so no other clock matters; a jump of that clock is noticed. Closes no reservation.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection, Engine, and_, delete, exists, insert, select, text, update

from app.database.engine import reading, writing
from app.database.readers import Readers
from app.database.schema import ledger_tables
from app.errors import StoreUnavailable

_MISSED_MAX = 3  # a process that missed this many beats counts as dead
_KEPT_MS = 24 * 60 * 60 * 1000  # rows of dead processes that left nothing to close are kept this long

_NOW_MS = {
    "sqlite": text("SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"),
    "postgresql": text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"),
}

_log = logging.getLogger(__name__)

_table = ledger_tables.heartbeats
_beats = ledger_tables.heartbeats.c

StoreClock = Callable[[Connection], int]
"""The database's time, in milliseconds since 1970."""


class Look(NamedTuple):
    """The state of the heartbeats at `now_ms`: which processes have a row, and which of these are dead."""

    now_ms: int
    known: frozenset[str]
    dead: frozenset[str]


def store_now_ms(connection: Connection) -> int:
    """The time by the database's own clock."""
    found: int = connection.execute(_NOW_MS[connection.dialect.name]).scalar_one()
    return found


class Heartbeat:
    """The row of one process, `instance`, and its view of the other rows.

    An overdue beat proves death only after a period of watching. After a jump of the database's clock, or a pause of
    this process, nobody is called dead until all have had time to beat again. `monotonic` gives seconds that no clock
    change affects. `beat`, `look` and `stop` block, and may be called in any thread.
    """

    def __init__(
        self,
        engine: Engine,
        instance: str,
        interval_seconds: float,
        monotonic: Callable[[], float],
        store_clock: StoreClock = store_now_ms,
    ) -> None:
        self._engine = engine
        self.instance = instance
        self._interval_seconds = interval_seconds
        self._monotonic = monotonic
        self._store_clock = store_clock
        self._last: tuple[int, float] | None = None  # one moment by the database's clock, and by ours
        self._sure_from = 0.0
        self._thread = Readers(1, "ledger-heartbeat")

    def beat(self) -> None:
        """Writes this process's heartbeat. Raises StoreUnavailable."""
        with writing(self._engine) as connection:
            now_ms = self._note(self._store_clock(connection))
            values = {"beat_at_ms": now_ms, "interval_ms": round(self._interval_seconds * 1000)}
            mine = update(_table).where(_beats.instance == self.instance)
            if not connection.execute(mine.values(values)).rowcount:
                connection.execute(insert(_table).values(instance=self.instance, started_at_ms=now_ms, **values))

    def look(self, connection: Connection) -> Look:
        """The heartbeats now. Nobody counts as dead while this process is not sure of the time."""
        now_ms = self._note(self._store_clock(connection))
        found = look_at(connection, now_ms, is_sure=self._monotonic() >= self._sure_from)
        return found._replace(dead=found.dead - {self.instance})

    def living(self) -> frozenset[str]:
        """Every process that is not known to be dead. Raises StoreUnavailable."""
        with reading(self._engine) as connection:
            look = self.look(connection)
        return look.known - look.dead

    def stop(self) -> None:
        """Tells the others that this process has ended. Raises StoreUnavailable."""
        declare_dead(self._engine, self.instance)

    async def run(self) -> None:
        """Beats for ever, first after one interval. Logs when beats begin to fail, and when they work again."""
        fails = False
        while True:
            await asyncio.sleep(self._interval_seconds)
            try:
                await self._thread.run(self.beat, self._interval_seconds)
            except StoreUnavailable:
                if not fails:
                    _log.warning("heartbeat_failed", exc_info=True)
                fails = True
            else:
                if fails:
                    _log.warning("heartbeat_resumed")
                fails = False

    def _note(self, now_ms: int) -> int:
        """Compares the database's clock with ours. If they disagree, or if this process was paused, ages mean nothing
        until every living process has beaten again.
        """
        now, interval = self._monotonic(), self._interval_seconds
        if self._last is not None:
            last_ms, last = self._last
            passed = now - last
            jump = (now_ms - last_ms) / 1000 - passed
            if abs(jump) > interval / 2 or passed > _MISSED_MAX * interval:
                self._sure_from = now + _MISSED_MAX * interval
        self._last = now_ms, now
        return now_ms


def look_at(connection: Connection, now_ms: int, *, is_sure: bool = True) -> Look:
    """The state of the rows. If the time is not trusted, only processes that were declared dead count as dead."""
    rows = connection.execute(select(_beats.instance, _beats.beat_at_ms, _beats.interval_ms)).all()
    dead = frozenset(
        instance
        for instance, beat_at_ms, interval_ms in rows
        # A beat in the future was written before the clock was set back.
        if not beat_at_ms or (is_sure and abs(now_ms - beat_at_ms) > _MISSED_MAX * interval_ms)
    )
    return Look(now_ms, frozenset(row.instance for row in rows), dead)


def overdue_at(connection: Connection, now_ms: int) -> frozenset[str]:
    """The processes that missed a beat by `now_ms`, or were declared dead: probably they are."""
    is_overdue = (now_ms - _beats.beat_at_ms) * 2 > _beats.interval_ms * 3
    return frozenset(connection.execute(select(_beats.instance).where(is_overdue)).scalars())


def declare_dead(engine: Engine, instance: str) -> None:
    """Marks a process that is known to have ended, so that nobody waits for its heartbeat. Raises StoreUnavailable."""
    with writing(engine) as connection:
        connection.execute(update(_table).where(_beats.instance == instance).values(beat_at_ms=0))


def prune_heartbeats(engine: Engine, look: Look) -> None:
    """Deletes rows of processes that have been dead for a day and left nothing to close. Raises StoreUnavailable."""
    rows = ledger_tables.reservations.c
    pending = exists().where(ledger_tables.IS_PENDING, rows.instance == _beats.instance)
    old = and_(_beats.instance.in_(look.dead), _beats.beat_at_ms < look.now_ms - _KEPT_MS, ~pending)
    if not look.dead:
        return
    with reading(engine) as connection:
        found = list(connection.execute(select(_beats.instance).where(old)).scalars())
    if found:
        with writing(engine) as connection:
            connection.execute(delete(_table).where(_beats.instance.in_(found), _beats.instance.in_(look.dead)))
