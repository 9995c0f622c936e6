"""The ledger as the event loop sees it: reserve, mark, resolve, expire, without ever blocking.

Its promise: what was reserved is resolved once, and a reservation nobody waits for any more is given back. The
writer's thread touches the database; everything in this file runs in the event loop.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Engine

from app.database.clock import Clock
from app.database.engine import reading
from app.errors import StoreUnavailable
from app.quotas.batch import Outcome
from app.quotas.commands import (
    Command,
    Expire,
    MarkDispatched,
    Reserve,
    Reserved,
    Resolve,
    check_hold,
    check_settlement,
    withdrawal,
)
from app.quotas.outbox import prune_events
from app.quotas.reservation import Hold, Resolution, Settlement
from app.quotas.standing import LimitStatus, find_expired, find_orphans, prune_counters, standing_of
from app.quotas.thresholds import UNWATCHED, Announcement, Watch
from app.quotas.writer import Ticket, Writer

_EXPIRE_BATCH = 200
_READERS_MAX = 4
_CLOSE_SECONDS = 10.0

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class Ledger:
    """Accounts of reservations, exact over any number of processes on PostgreSQL and in one process on SQLite.

    `instance` names this process in the rows it makes. At most `queue_max` commands wait before a reserve is
    refused; a reserve or a mark waits at most `wait_seconds`. What `watch` announces, it announces in the event loop.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        instance: str,
        queue_max: int,
        wait_seconds: float,
        watch: Watch = UNWATCHED,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._instance = instance
        self._wait_seconds = wait_seconds
        self._readers = asyncio.Semaphore(_READERS_MAX)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_waking = False
        self._announce = watch.announce
        self._writer = Writer(
            engine,
            instance=instance,
            queue_max=queue_max,
            deliver=self._deliver_from_thread,
            watch=replace(watch, announce=self._announce_from_thread),
        )

    async def start(self) -> None:
        """Starts the writer. Once."""
        self._loop = asyncio.get_running_loop()
        self._writer.start()

    async def close(self, seconds: float = _CLOSE_SECONDS) -> list[tuple[str, Settlement]]:
        """Writes everything that waits, then stops; takes no reservations from the first moment on. Idempotent.

        Returns the resolutions that could not be written in `seconds` because the store is away; their
        reservations stay pending until a sweep expires them.
        """
        unwritten = await asyncio.to_thread(self._writer.close, seconds)
        self._deliver(
            [(ticket, StoreUnavailable("The gateway has stopped; try again shortly.")) for ticket in unwritten]
        )
        resolutions = [ticket.command for ticket in unwritten if isinstance(ticket.command, Resolve)]
        if resolutions:
            _log.error("%d settlements could not be written; their reservations will expire", len(resolutions))
        return [(resolution.reservation_id, resolution.settlement) for resolution in resolutions]

    async def reserve(self, hold: Hold) -> Reserved:
        """Takes the hold if it fits into every limit that applies, all or nothing, before it returns.

        Raises QuotaExceeded, RateLimited; StoreUnavailable when it cannot be known whether it fits;
        DuplicateReservation; ValueError for amounts no request can have. Cancelled or timed out, it leaves nothing
        reserved: the command is withdrawn, or what it did is released as soon as that is known.
        """
        check_hold(hold)
        ticket = self._submit(Reserve(hold))
        try:
            outcome = await self._wait(ticket)
        except BaseException:
            # The future may already hold the answer that this task was woken for when it was cancelled.
            if not self._writer.withdraw(ticket) and _is_reserved(ticket.waiter):
                self._release(hold)
            raise
        if isinstance(outcome, Reserved):
            return outcome
        raise _as_error(outcome)

    async def mark_dispatched(self, reservation_id: str, now: datetime) -> None:
        """Records that the request is about to be sent: from here on an orphan is charged. Idempotent.

        Raises StoreUnavailable when that could not be written, or the reservation is not pending: then nothing may
        be sent.
        """
        ticket = self._submit(MarkDispatched(reservation_id, now))
        try:
            outcome = await self._wait(ticket)
        except BaseException:
            self._writer.withdraw(ticket)
            raise
        if outcome is not None:
            raise _as_error(outcome)

    async def resolve(self, reservation_id: str, settlement: Settlement) -> Resolution:
        """Settles or releases, as `settlement.state` says; a second resolution changes nothing and says so.

        Waits as long as the store is away, and is carried out even when its caller is cancelled. More than was held
        may be charged: it was bought. Raises ValueError for a settlement that cannot be, StoreUnavailable when the
        ledger was closed before it could be written.
        """
        check_settlement(settlement)
        ticket = self._submit(Resolve(reservation_id, settlement))
        outcome = await ticket.waiter
        if isinstance(outcome, Resolution):
            return outcome
        raise _as_error(outcome)

    async def expire(self, now: datetime) -> list[str]:
        """The sweep: closes every reservation whose time is over, whoever made it, and returns their ids.

        One that was dispatched is charged its hold, marked as estimated; any other costs nothing.
        """
        expired = await self._expire_all(now, lambda: find_expired(self._engine, now))
        await self._read(lambda: prune_counters(self._engine, now))
        await self._read(lambda: prune_events(self._engine, now))
        return expired

    async def expire_orphans(self, now: datetime) -> list[str]:
        """At start, where this is the only process on the database: closes what earlier processes left pending.

        Nothing on PostgreSQL: there the others may be alive, and `expire` finds the dead ones' in time.
        """
        if self._engine.dialect.name != "sqlite":
            return []
        return await self._expire_all(now, lambda: find_orphans(self._engine, self._instance))

    async def limits_of(self, key_id: str, user_id: str, team_id: str | None, now: datetime) -> list[LimitStatus]:
        """Every limit that applies to a key, of whatever scope and model, with what is used and left of it."""

        def read() -> list[LimitStatus]:
            with reading(self._engine) as connection:
                return standing_of(connection, key_id, user_id, team_id, now)

        return await self._read(read)

    async def _expire_all(self, now: datetime, find: Callable[[], list[str]]) -> list[str]:
        expired: list[str] = []
        while ids := await self._read(find):
            for start in range(0, len(ids), _EXPIRE_BATCH):
                tickets = [(id_, self._submit(Expire(id_, now))) for id_ in ids[start : start + _EXPIRE_BATCH]]
                for id_, ticket in tickets:
                    outcome = await ticket.waiter
                    if isinstance(outcome, Exception):
                        raise outcome
                    if outcome is Resolution.DONE:
                        expired.append(id_)
        return expired

    async def _read(self, read: Callable[[], _T]) -> _T:
        """Runs what blocks beside the loop, a few at a time."""
        async with self._readers:
            return await asyncio.to_thread(read)

    def _submit(self, command: Command) -> Ticket:
        ticket = Ticket(command, asyncio.get_running_loop().create_future())
        self._writer.enqueue(ticket)
        if not self._is_waking:
            self._is_waking = True
            asyncio.get_running_loop().call_soon(self._wake)
        return ticket

    def _wake(self) -> None:
        """At the end of a turn of the loop: all that this turn submitted is one transaction, and one wait for the
        interpreter, which the two threads hand to each other."""
        self._is_waking = False
        self._writer.wake()

    async def _wait(self, ticket: Ticket) -> Outcome:
        try:
            async with asyncio.timeout(self._wait_seconds):
                outcome: Outcome = await ticket.waiter
                return outcome
        except TimeoutError:
            raise StoreUnavailable("The gateway's database does not answer in time; try again shortly.") from None

    def _deliver_from_thread(self, served: Sequence[tuple[Ticket, Outcome]]) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._deliver, served)

    def _announce_from_thread(self, crossed: Sequence[Announcement]) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._announce, crossed)

    def _deliver(self, served: Sequence[tuple[Ticket, Outcome]]) -> None:
        for ticket, outcome in served:
            is_heard = ticket.waiter is not None and not ticket.waiter.done()
            if is_heard:
                ticket.waiter.set_result(outcome)
            if isinstance(ticket.command, Reserve) and (
                ticket.in_doubt or (isinstance(outcome, Reserved) and not is_heard)
            ):
                self._release(ticket.command.hold)

    def _release(self, hold: Hold) -> None:
        """Gives a hold back that nobody will use; if the gateway stops first, the sweep does the same later."""
        with suppress(StoreUnavailable):
            self._writer.submit(Ticket(withdrawal(hold, self._clock())))


def _is_reserved(waiter: asyncio.Future[Outcome]) -> bool:
    return waiter.done() and not waiter.cancelled() and isinstance(waiter.result(), Reserved)


def _as_error(outcome: Outcome) -> Exception:
    assert isinstance(outcome, Exception)
    return outcome
