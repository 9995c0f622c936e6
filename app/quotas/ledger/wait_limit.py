"""How long commands are waited for: all equally long, so one timer does for all of them. Runs in the event loop, and
knows nothing of what a command is."""

import asyncio
from collections import deque
from collections.abc import Callable

from app.quotas.ledger.writer import Ticket


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
            self._timer = loop.call_at(deadline, self._ring)

    def forget_answered(self) -> None:
        """Lets go of the tickets that have their answer, up to the first that has none."""
        watched = self._watched
        while watched and watched[0][1].waiter.done():
            watched.popleft()

    def _ring(self) -> None:
        loop, watched = asyncio.get_running_loop(), self._watched
        now = loop.time()
        while watched and (watched[0][0] <= now or watched[0][1].waiter.done()):
            _, ticket = watched.popleft()
            if not ticket.waiter.done():
                self._give_up(ticket)
        self._timer = loop.call_at(watched[0][0], self._ring) if watched else None
