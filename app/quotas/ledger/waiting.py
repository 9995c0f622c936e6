"""When the ledger's writer is woken, and how long its answers are waited for. Runs in the event loop; knows nothing of
what a command does."""

import asyncio
from collections import deque
from collections.abc import Callable

from app.quotas.ledger.commands import Ticket


class WakeDelay:
    """Calls `wake`, which is to be quick, once for all that asked for it until then."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._is_due = False
        self._later: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        """At the end of this turn of the loop: all that it submits is one transaction, and one wait for the
        interpreter, which the two threads hand to each other."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._fire)

    def later(self, seconds: float) -> None:
        """In so many seconds, unless it is woken before for another reason."""
        if not self._is_due and self._later is None:
            self._later = asyncio.get_running_loop().call_later(seconds, self._fire)

    def _fire(self) -> None:
        self._is_due = False
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._wake()


class WaitLimit:
    """Calls `give_up` with each ticket whose waiter, a future, is not done `seconds` after it was `watch`ed.

    For one event loop, whose time it goes by. With `forget_answered` called at every answer, it remembers no more
    tickets than wait.
    """

    def __init__(self, seconds: float, give_up: Callable[[Ticket], None]) -> None:
        self._seconds = seconds
        self._give_up = give_up
        self._watched: deque[tuple[float, Ticket]] = deque()  # until when, whom: the first is due first
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, ticket: Ticket) -> None:
        """Begins to wait for a ticket. Its waiter is to be done some time, or to be made so by `give_up`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        self._watched.append((deadline, ticket))
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._fire)

    def forget_answered(self) -> None:
        """Lets go of the tickets that have their answer, up to the first that has none."""
        watched = self._watched
        while watched and watched[0][1].waiter.done():
            watched.popleft()

    def _fire(self) -> None:
        loop, watched = asyncio.get_running_loop(), self._watched
        now = loop.time()
        while watched and (watched[0][0] <= now or watched[0][1].waiter.done()):
            _, ticket = watched.popleft()
            if not ticket.waiter.done():
                self._give_up(ticket)
        self._timer = loop.call_at(watched[0][0], self._fire) if watched else None
