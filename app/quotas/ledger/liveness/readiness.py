"""Whether the ledger can take reservations: a recent write succeeded, or one that is tried now.

Runs in the event loop. Knows commands and their outcomes, no SQL.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta

from sqlalchemy import Engine

from app.database.clock import Clock
from app.database.store_file import check_file
from app.errors import StoreUnavailable
from app.quotas.ledger.commands import CommandResult, Probe, Ticket
from app.quotas.rules.reservation import Amounts, Hold, Resolution

_SPOOLED = Resolution.SPOOLED  # looking a member up is slow in Python 3.11
_FRESH_SECONDS = 10.0  # for this long a write proves that the next one works


class Readiness:
    """`submit` gives a command to the writer. Every answer of the writer must be passed to `note`."""

    def __init__(self, engine: Engine, clock: Clock, instance: str, submit: Callable[[Probe], Ticket]) -> None:
        self._engine = engine
        self._clock = clock
        self._id = f"probe_{instance}"
        self._submit = submit
        self._wrote_at: float | None = None
        self._probe: asyncio.Future[None] | None = None

    def note(self, served: Iterable[tuple[Ticket, CommandResult]]) -> None:
        """Any answer means a commit, except the store's failures."""
        self._wrote_at = asyncio.get_running_loop().time()
        for _, outcome in served:
            if outcome is _SPOOLED or isinstance(outcome, StoreUnavailable):
                self._wrote_at = None

    async def check(self, seconds: float) -> None:
        """Raises StoreUnavailable unless a write succeeded recently, or succeeds now within `seconds`. One write serves
        all who ask at the same time.
        """
        check_file(self._engine)
        if self._wrote_at is not None and asyncio.get_running_loop().time() - self._wrote_at < _FRESH_SECONDS:
            return
        if self._probe is None or self._probe.done():
            self._probe = self._submit(Probe(self._hold())).waiter
        await asyncio.wait({self._probe}, timeout=seconds)
        if not self._probe.done():
            raise StoreUnavailable("The gateway's database does not answer in time; try again shortly.")
        self._probe.result()

    def _hold(self) -> Hold:
        """A hold of nothing, for nobody. Its row is deleted in the transaction that makes it."""
        now = self._clock()
        nobody = "probe"
        return Hold(
            id=self._id, key_id=nobody, user_id=nobody, team_id=None, operation=nobody, model=nobody, size=nobody,
            quality=nobody, streamed=False, amounts=Amounts(), reserved_at=now, expires_at=now + timedelta(seconds=1),
            is_dispatched=False,
        )  # fmt: skip
