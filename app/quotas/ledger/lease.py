"""What an exchange holds of the ledger: one reservation, to be marked as dispatched and settled exactly once."""

import asyncio
import logging
from datetime import datetime
from typing import Protocol

from app.quotas.ledger.commands import Reserved
from app.quotas.rules.reservation import Hold, Resolution, Settlement

_log = logging.getLogger(__name__)


class Reservations(Protocol):
    """The ledger's part that knows reservations by their ids."""

    async def mark_dispatched(self, reservation_id: str, now: datetime) -> None: ...
    async def move(self, reservation_id: str, account: str, now: datetime, *, is_dispatched: bool) -> None: ...
    def resolve(self, reservation_id: str, settlement: Settlement) -> asyncio.Future[Resolution]: ...


class Lease:
    """A hold that was taken. `reserved` is what was said when it was."""

    def __init__(self, reservations: Reservations, hold: Hold, reserved: Reserved) -> None:
        self._reservations = reservations
        self._hold = hold
        self._is_settled = False
        self.reserved = reserved

    async def dispatched(self, now: datetime) -> None:
        """Record that the first byte is about to be sent: from here on an orphan is charged. Does nothing where the
        hold said so itself. Raises StoreUnavailable when it could not be written: then nothing may be sent."""
        if not self._hold.is_dispatched:
            await self._reservations.mark_dispatched(self._hold.id, now)

    async def move(self, account: str, now: datetime, *, is_dispatched: bool) -> None:
        """Turns the reservation to another account; nothing was bought with the one it had. `is_dispatched` as in a
        hold. Raises a LimitReached of that account, and StoreUnavailable: then nothing may be sent over it."""
        await self._reservations.move(self._hold.id, account, now, is_dispatched=is_dispatched)
        self._hold = self._hold._replace(account=account, is_dispatched=is_dispatched)

    def settle(self, settlement: Settlement) -> asyncio.Future[Resolution]:
        """Begin to settle or release: it has its place in the queue when this returns, and nothing takes it back.

        Never raises: what goes wrong is in the future, and in the log, and the sweep closes the reservation. Settling
        twice changes nothing, is ALREADY_RESOLVED and is logged as a bug.
        """
        if self._is_settled:
            settling = _done(Resolution.ALREADY_RESOLVED)
        else:
            self._is_settled = True
            try:
                settling = self._reservations.resolve(self._hold.id, settlement)
            except Exception as error:  # noqa: BLE001 - a bug must not cut an answer off; it is logged below
                settling = _done(error)
        settling.add_done_callback(self._log_unless_well)
        return settling

    def _log_unless_well(self, settling: asyncio.Future[Resolution]) -> None:
        if settling.cancelled():
            return  # carried out all the same, and nobody waits for it
        error = settling.exception()
        if error is not None:
            _log.error("settlement_not_written", exc_info=error, extra={"request_id": self._hold.id})
            return
        resolution, extra = settling.result(), {"request_id": self._hold.id}
        if resolution is Resolution.CORRECTED:
            _log.warning("settlement_corrected", extra=extra)  # the process was held to be dead meanwhile
        elif resolution is not Resolution.DONE and resolution is not Resolution.SPOOLED:
            _log.error("reservation_resolved_twice", extra={**extra, "resolution": resolution.value})


def _done(outcome: Resolution | Exception) -> asyncio.Future[Resolution]:
    future: asyncio.Future[Resolution] = asyncio.get_running_loop().create_future()
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
    return future
