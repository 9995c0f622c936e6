"""When the ledger's writer is woken, and how long callers wait for its answers. Runs in the event loop. Knows nothing
about commands.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from app.quotas.ledger.commands import Ticket


class WakeDelay:
    """Wakes the writer at the end of this loop turn, or after a delay. `wake` must be fast; it is called once for all
    requests made until then.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._is_due = False
        self._later: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        """Wakes at the end of this loop turn. All that is submitted in this turn becomes one transaction, and the two
        threads switch once.
        """
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._fire)

    def later(self, seconds: float) -> None:
        """Wakes after so many seconds, unless it is woken earlier."""
        if not self._is_due and self._later is None:
            self._later = asyncio.get_running_loop().call_later(seconds, self._fire)

    def _fire(self) -> None:
        self._is_due = False
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._wake()


class WaitLimit:
    """Calls `give_up` with each ticket whose waiter, a future, is not done `seconds` after `watch`.

    For one event loop, and in its time. If `forget_answered` is called at every answer, it keeps no more tickets than
    wait.
    """

    def __init__(self, seconds: float, give_up: Callable[[Ticket], None]) -> None:
        self._seconds = seconds
        self._give_up = give_up
        self._watched: deque[tuple[float, Ticket]] = deque()  # (deadline, ticket); the first one is due first
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, ticket: Ticket) -> None:
        """Begins to wait for a ticket. `give_up` must make its waiter done, if nothing else does."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        self._watched.append((deadline, ticket))
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._fire)

    def forget_answered(self) -> None:
        """Drops answered tickets, up to the first unanswered one."""
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
