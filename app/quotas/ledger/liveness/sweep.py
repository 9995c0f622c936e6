"""Finds the reservations that nobody will resolve any more, and has the ledger expire them.

No clock decides about a living process: its reservations are its own, and its heartbeat shows that it lives.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from sqlalchemy import ColumnElement, Connection, Engine, and_, or_, select

from app.database.clock import Clock, to_ms
from app.database.engine import reading
from app.database.readers import Readers
from app.database.schema import ledger_tables
from app.errors import GatewayError, StoreUnavailable
from app.quotas.ledger.attempts.finding import prune_attempts
from app.quotas.ledger.liveness.heartbeat import Heartbeat, Look, declare_dead, look_at, prune_heartbeats, store_now_ms
from app.quotas.ledger.liveness.pruning import prune_counters, prune_events
from app.quotas.rules.reservation import Resolution

_FOUND_MAX = 1000
_OWN_MAX = 50_000
_EXPIRE_BATCH = 200
_SECONDS_MAX = 60.0
_LAST_BEAT_SECONDS = 2.0  # for the last heartbeat; without it the others find out by themselves

_log = logging.getLogger("gateway")

_rows = ledger_tables.reservations.c

Expirer = Callable[[str, datetime], "asyncio.Future[Resolution]"]
"""Has the ledger expire one reservation."""


class Swept(Protocol):
    """What the loop needs of a ledger."""

    async def expire(self, now: datetime) -> list[str]: ...

    async def ask(self) -> None: ...


async def sweep_for_ever(ledger: Swept, clock: Clock, seconds: float) -> None:
    """Closes the reservations of dead processes, at intervals, for ever. After an outage of the store it skips one
    sweep, so that living processes can write their spooled settlements. Those are exact; an expiry is an estimate.
    """
    store_answered = False
    while True:
        expired: list[str] = []
        try:
            if store_answered:
                expired = await ledger.expire(clock())
            else:
                await ledger.ask()
            store_answered = True
        except GatewayError:
            store_answered = False
            _log.warning("sweep_failed", exc_info=True)
        for reservation_id in expired:
            _log.warning("reservation_expired", extra={"request_id": reservation_id})
        await asyncio.sleep(seconds)


class Expiring(Protocol):
    """What `expire_dead` needs of a ledger."""

    async def expire_instance(self, instance: str) -> list[str]: ...


async def expire_dead(ledger: Expiring, dead: "asyncio.Queue[str]") -> None:
    """Closes at once what each process left pending whose death is reported in `dead`. If that fails, the sweep does it
    when the heartbeat has been missing for long enough."""
    while True:
        instance = await dead.get()
        try:
            expired = await ledger.expire_instance(instance)
        except GatewayError:
            _log.warning("sweep_failed", exc_info=True)
            continue
        for reservation_id in expired:
            _log.warning("reservation_expired", extra={"request_id": reservation_id})


class Sweep:
    """The sweep of one process, `instance`. `running` are the reservations that it will still resolve itself.

    Without a heartbeat, nobody can see that the process lives.
    """

    def __init__(self, engine: Engine, instance: str, readers: Readers, expire: Expirer) -> None:
        self._engine = engine
        self._instance = instance
        self._readers = readers
        self._expire = expire
        self._heartbeat: Heartbeat | None = None
        self.running: set[str] = set()

    async def start(self, heartbeat: Heartbeat) -> None:
        """The first beat. Raises StoreUnavailable if it cannot be written."""
        await self._readers.run(heartbeat.beat, _SECONDS_MAX)
        self._heartbeat = heartbeat

    async def close(self) -> None:
        """Tells the others not to wait for what could not be written here. Idempotent."""
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            with suppress(StoreUnavailable):
                await self._readers.run(heartbeat.stop, _LAST_BEAT_SECONDS)

    async def expire_abandoned(self, now: datetime) -> list[str]:
        """Closes what nobody will resolve any more, and cleans up. Returns the ids."""
        expired = await self._expire_all(now, lambda: self._find_abandoned(now))
        await self._readers.run(self._prune_heartbeats, _SECONDS_MAX)
        await self._readers.run(lambda: prune_counters(self._engine, now), _SECONDS_MAX)
        await self._readers.run(lambda: prune_events(self._engine, now), _SECONDS_MAX)
        await self._readers.run(lambda: prune_attempts(self._engine, to_ms(now)), _SECONDS_MAX)
        return expired

    async def expire_instance(self, instance: str, now: datetime) -> list[str]:
        """Closes everything of a process that is known to be dead. Returns the ids."""
        assert instance != self._instance, "a process does not expire what it runs itself"
        await self._readers.run(lambda: declare_dead(self._engine, instance), _SECONDS_MAX)
        return await self._expire_all(now, lambda: self._find(_rows.instance == instance))

    async def expire_others(self, now: datetime) -> list[str]:
        """Closes everything that is not of this process. Returns the ids."""
        return await self._expire_all(now, lambda: self._find(_rows.instance != self._instance))

    async def ask(self, now: datetime) -> None:
        """Raises StoreUnavailable when the store does not answer."""
        await self._readers.run(lambda: self._find_abandoned(now), _SECONDS_MAX)

    async def _expire_all(self, now: datetime, find: Callable[[], list[str]]) -> list[str]:
        expired: list[str] = []
        while ids := await self._readers.run(find, _SECONDS_MAX):
            for start in range(0, len(ids), _EXPIRE_BATCH):
                some = ids[start : start + _EXPIRE_BATCH]
                waiters: list[Awaitable[Resolution]] = [self._expire(id_, now) for id_ in some]
                for id_, outcome in zip(some, await asyncio.gather(*waiters, return_exceptions=True), strict=True):
                    if isinstance(outcome, BaseException):
                        raise outcome
                    if outcome is Resolution.DONE:
                        expired.append(id_)
        return expired

    def _find_abandoned(self, now: datetime) -> list[str]:
        with reading(self._engine) as connection:
            heartbeat = self._heartbeat
            look = heartbeat.look(connection) if heartbeat else look_at(connection, store_now_ms(connection))
            mine = self._find_mine(connection, now)
            return [*mine, *_find(connection, is_abandoned(look, self._instance, now), _FOUND_MAX)]

    def _find_mine(self, connection: Connection, now: datetime) -> list[str]:
        """This process's own reservations that have run out and that it no longer runs: nobody closed them."""
        mine = and_(_rows.instance == self._instance, _rows.expires_at_ms < to_ms(now))
        running = frozenset(self.running)
        return [id_ for id_ in _find(connection, mine, _OWN_MAX) if id_ not in running]

    def _find(self, condition: ColumnElement[bool]) -> list[str]:
        with reading(self._engine) as connection:
            return _find(connection, condition, _FOUND_MAX)

    def _prune_heartbeats(self) -> None:
        if self._heartbeat is not None:
            with reading(self._engine) as connection:
                look = self._heartbeat.look(connection)
            prune_heartbeats(self._engine, look)


def is_abandoned(look: Look, instance: str, now: datetime) -> ColumnElement[bool]:
    """Whether the reservation is another process's than `instance`, and that process is dead by `look`; or has no
    heartbeat (an older version of the gateway) and the reservation has run out.
    """
    is_over = and_(_rows.expires_at_ms < to_ms(now), _rows.instance.not_in((*look.known, instance)))
    return or_(_rows.instance.in_(look.dead), is_over)


def _find(connection: Connection, condition: ColumnElement[bool], at_most: int) -> list[str]:
    query = (
        select(_rows.id)
        .where(ledger_tables.IS_PENDING, condition)
        .order_by(_rows.expires_at_ms, _rows.id)
        .limit(at_most)
    )
    return list(connection.execute(query).scalars())
