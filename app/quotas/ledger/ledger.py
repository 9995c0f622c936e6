"""The ledger for the event loop: reserve, mark, resolve, expire, without ever blocking.

It promises that every reservation is resolved once, and that a reservation nobody waits for is given back. Only the
writer's thread touches the database. Everything in this file runs in the event loop.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

from sqlalchemy import Engine

from app.database.clock import Clock
from app.database.readers import Readers
from app.errors import StoreUnavailable
from app.quotas.ledger.attempts.rows import AttemptCommand, AttemptRow
from app.quotas.ledger.commands import (
    Command,
    CommandResult,
    Expire,
    MarkDispatched,
    Move,
    Reserve,
    Reserved,
    Resolve,
    Ticket,
    check_hold,
    check_settlement,
    withdrawal,
)
from app.quotas.ledger.lease import Lease
from app.quotas.ledger.liveness.heartbeat import Heartbeat
from app.quotas.ledger.liveness.readiness import Readiness
from app.quotas.ledger.liveness.sweep import Sweep
from app.quotas.ledger.spool.file import Spool
from app.quotas.ledger.spool.keeper import ShowWaiting, SpoolKeeper
from app.quotas.ledger.waiting import WaitLimit, WakeDelay
from app.quotas.ledger.writer import Writer
from app.quotas.rules.reservation import Hold, Resolution, Settlement
from app.quotas.rules.thresholds import UNWATCHED, Thresholds, Watch

_READERS_MAX = 2
# How long a settlement waits for a reservation to share its transaction with. A client's next request mostly follows
# its last answer at once, so two commits become one. Only on SQLite: on PostgreSQL other processes may need the room
# that the settlement frees in their limits.
_LINGER_SECONDS = 0.002
_CLOSE_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Ledger:
    """Reservations, exact over any number of processes on PostgreSQL and in one process on SQLite.

    `instance` names this process in its rows. A reserve is refused while `queue_max` commands wait. A reserve or a mark
    waits at most `wait_seconds`. `watch` is notified in the event loop.
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
        self._readers = Readers(_READERS_MAX, "ledger-reader")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wait_limit = WaitLimit(wait_seconds, self._give_up)
        self._writer = Writer(
            engine,
            instance=instance,
            queue_max=queue_max,
            deliver=self._deliver_from_thread,
            watch=replace(
                watch,
                announce=partial(self._call_from_thread, watch.announce),
                corrected=partial(self._call_from_thread, watch.corrected),
            ),
        )
        self._wake_delay = WakeDelay(self._writer.wake)
        self.readiness = Readiness(engine, clock, instance, self._submit)
        self._spool_keeper: SpoolKeeper | None = None
        self._sweep = Sweep(engine, instance, self._readers, self._expire_one)

    async def start(
        self, spool: Spool | None = None, show_waiting: ShowWaiting | None = None, heartbeat: Heartbeat | None = None
    ) -> None:
        """Starts the writer. Its first work is what dead processes left in the spool. Call it once.

        Without a spool, resolutions that the store does not accept wait in memory only. `show_waiting` is called in the
        event loop when the number of resolutions that wait on disk, or in memory only, has changed. The `heartbeat` of
        this `instance`, which the caller keeps running, shows the other processes that this one lives. Without one they
        wait until its reservations run out. Raises StoreUnavailable if the heartbeat cannot be written.
        """
        self._loop = asyncio.get_running_loop()
        if heartbeat is not None:
            await self._sweep.start(heartbeat)
        self._writer.start()
        if spool is not None:
            show = partial(self._call_from_thread, show_waiting or (lambda *_: None))
            self._spool_keeper = SpoolKeeper(spool, self._writer, self._tell_of_spooled, show)
            self._spool_keeper.start()
        await self._take_over()

    async def close(self, seconds: float = _CLOSE_SECONDS) -> list[tuple[str, Settlement]]:
        """Writes everything that waits, then stops. Takes no reservations from the first moment on. Idempotent.

        Resolutions that could not be written within `seconds`, because the store is away, go to the spool. Returns
        those that could not be spooled either; their reservations stay pending until a sweep expires them.
        """
        if self._spool_keeper is not None and self._writer.is_store_away and not self._spool_keeper.in_memory_only:
            seconds = 0  # everything is on disk already, so there is nothing to wait for
        unwritten = await asyncio.to_thread(self._writer.close, seconds)
        resolutions = [ticket for ticket in unwritten if isinstance(ticket.command, Resolve)]
        spooled: set[Ticket] = set()
        if self._spool_keeper is not None:
            spooled = await asyncio.to_thread(self._spool_keeper.close, resolutions)
        await self._sweep.close()
        stopped = StoreUnavailable("The gateway has stopped; try again shortly.")
        self._deliver([(ticket, Resolution.SPOOLED if ticket in spooled else stopped) for ticket in unwritten])
        lost = [ticket.command for ticket in resolutions if ticket not in spooled]
        if lost:
            _log.error("%d settlements could not be written; their reservations will expire", len(lost))
        return [(each.reservation_id, each.settlement) for each in lost if isinstance(each, Resolve)]

    def use_thresholds(self, watch: Watch) -> None:
        """Looks for the percentages of `watch` from the next transaction on. Its functions are those of the start."""
        self._writer.thresholds = Thresholds(watch)

    async def reserve(self, hold: Hold, attempt: AttemptRow | None = None) -> Lease:
        """Takes the hold if it fits into every limit that applies, all or nothing, before it returns.

        Raises QuotaExceeded or RateLimited; StoreUnavailable if it is unknown whether it fits; DuplicateReservation;
        ValueError for amounts that no request can have; IdempotencyKeyTaken. If it is cancelled or times out, nothing
        stays reserved: the command is withdrawn, or its hold is released as soon as it is known.
        """
        check_hold(hold)
        ticket = self._submit(Reserve(hold, attempt))
        self._wait_limit.watch(ticket)
        try:
            reserved: Reserved = await ticket.waiter
        except BaseException:
            if _has_answer(ticket.waiter):
                # The ticket's error is raised here; or this task was cancelled while it was being woken for its answer.
                if ticket.waiter.exception() is None:
                    self._release(hold)
            else:
                self._writer.withdraw(ticket)
            raise
        finally:
            del ticket  # break the cycle ticket → error → traceback → frame → ticket
        self._sweep.running.add(hold.id)
        return Lease(self, hold, reserved)

    async def mark_dispatched(self, reservation_id: str, now: datetime) -> None:
        """Records that the request is about to be sent: from here on an orphaned reservation is charged. Idempotent.
        Raises StoreUnavailable if that could not be written, or it is not pending: then nothing may be sent."""
        await self._carry_out(MarkDispatched(reservation_id, now))

    async def move(self, reservation_id: str, account: str, now: datetime, *, is_dispatched: bool) -> None:
        """Turns a pending reservation to another account. Idempotent. If it is cancelled, it may have happened.
        Raises QuotaExceeded or RateLimited of that account, and StoreUnavailable as mark_dispatched does."""
        await self._carry_out(Move(reservation_id, account, now, is_dispatched))

    async def _carry_out(self, command: Command) -> CommandResult:
        ticket = self._submit(command)
        self._wait_limit.watch(ticket)
        try:
            outcome: CommandResult = await ticket.waiter
        except BaseException:
            if not _has_answer(ticket.waiter):
                self._writer.withdraw(ticket)
            raise
        finally:
            del ticket  # as in reserve
        return outcome

    async def keep_attempt(self, command: AttemptCommand) -> Resolution:
        """Carries out a command about an attempt, after all commands before it. Raises StoreUnavailable."""
        resolution = await self._carry_out(command)
        assert isinstance(resolution, Resolution), "what every such command has"
        return resolution

    def resolve(self, reservation_id: str, settlement: Settlement) -> asyncio.Future[Resolution]:
        """Settles or releases, as `settlement.state` says. A second resolution changes nothing and says so.

        When this returns, the resolution is in the queue. It is carried out even if the future, or its waiter, is
        cancelled. While the store is away, the future waits until the resolution is in the spool (SPOOLED), or else for
        the store. It ends with StoreUnavailable if the ledger was closed before the resolution could be kept. The
        charge may exceed the hold: it was bought. Raises ValueError for an impossible settlement, StoreUnavailable once
        the ledger is closed.
        """
        # It is queued before any expiry. If it is lost, the sweep closes the reservation later.
        self._sweep.running.discard(reservation_id)
        check_settlement(settlement)
        waiter: asyncio.Future[Resolution] = self._enqueue(Resolve(reservation_id, settlement)).waiter
        if self._engine.dialect.name == "sqlite":
            self._wake_delay.later(_LINGER_SECONDS)
        else:
            self._wake_delay.soon()
        return waiter

    async def expire(self, now: datetime) -> list[str]:
        """The sweep: closes every reservation whose process is dead, and returns their ids. Never one that this process
        still runs, and never one of a living process.

        A dispatched reservation is charged its hold, marked as estimated; any other costs nothing. What dead processes
        left on disk is written first, because it is exact. Heartbeats, in the database's time, tell which processes are
        dead. `now` is used only for what this process lost, and for processes without a heartbeat.
        """
        await self._take_over()
        return await self._sweep.expire_abandoned(now)

    async def expire_instance(self, instance: str) -> list[str]:
        """Closes at once what another process left pending; the caller knows that it is dead. Returns the ids. What it
        left on disk is written first. Raises StoreUnavailable, and may then be called again.
        """
        await self._take_over()
        return await self._sweep.expire_instance(instance, self._clock())

    async def expire_orphans(self, now: datetime) -> list[str]:
        """For a start as the only process on the database: closes what earlier ones left pending. Does nothing on
        PostgreSQL, where others may be alive."""
        return await self._sweep.expire_others(now) if self._engine.dialect.name == "sqlite" else []

    async def ask(self) -> None:
        """Raises StoreUnavailable if the store does not answer."""
        await self._sweep.ask(self._clock())

    def _expire_one(self, reservation_id: str, now: datetime) -> asyncio.Future[Resolution]:
        waiter: asyncio.Future[Resolution] = self._submit(Expire(reservation_id, now)).waiter
        return waiter

    async def _take_over(self) -> None:
        if self._spool_keeper is not None:
            await asyncio.to_thread(self._spool_keeper.take_over)

    def _submit(self, command: Command) -> Ticket:
        ticket = self._enqueue(command)
        self._wake_delay.soon()
        return ticket

    def _enqueue(self, command: Command) -> Ticket:
        ticket = Ticket(command, asyncio.get_running_loop().create_future())
        self._writer.enqueue(ticket)
        return ticket

    def _give_up(self, ticket: Ticket) -> None:
        self._writer.withdraw(ticket)
        late = StoreUnavailable("The gateway's database does not answer in time; try again shortly.")
        ticket.waiter.set_exception(late)

    def _deliver_from_thread(self, served: Sequence[tuple[Ticket, CommandResult]]) -> None:
        self._call_from_thread(self._deliver, served)

    def _tell_of_spooled(self, tickets: Sequence[Ticket]) -> None:
        self._call_from_thread(self._deliver, [(ticket, Resolution.SPOOLED) for ticket in tickets])

    def _call_from_thread(self, callback: Callable[..., None], *values: object) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *values)

    def _deliver(self, served: Sequence[tuple[Ticket, CommandResult]]) -> None:
        self.readiness.note(served)
        # Resolutions last: a request waits for its reservation, but no answer waits for a settlement.
        for ticket, outcome in sorted(served, key=lambda each: type(each[0].command) is Resolve):
            waiter = ticket.waiter
            is_heard = waiter is not None and not waiter.done()
            if is_heard and isinstance(outcome, Exception):
                waiter.set_exception(outcome)
            elif is_heard:
                waiter.set_result(outcome)
            if ticket.in_doubt or not is_heard:
                self._undo(ticket, outcome)
        self._wait_limit.forget_answered()

    def _undo(self, ticket: Ticket, outcome: CommandResult) -> None:
        """Undoes a reservation that nobody was notified of, or that may have been made without an answer."""
        if isinstance(ticket.command, Reserve) and (ticket.in_doubt or isinstance(outcome, Reserved)):
            self._release(ticket.command.hold)

    def _release(self, hold: Hold) -> None:
        """Releases a hold that nobody will use. If the gateway stops first, the sweep does the same later."""
        with suppress(StoreUnavailable):
            self._writer.submit(Ticket(withdrawal(hold, self._clock())))


def _has_answer(waiter: asyncio.Future[object]) -> bool:
    return waiter.done() and not waiter.cancelled()
