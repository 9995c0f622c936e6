"""The waits of one task for a connection, one after the other, each bounded by the same number of seconds of
silence.
"""

import asyncio
from collections.abc import Callable


class Waiter:
    """Calls `on_silence` if a wait lasts `seconds`; that must wake the waiter.

    One timer serves all waits. Most waits end soon, and then moving the timer is not worth its cost.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, on_silence: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._on_silence = on_silence
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._waiting: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Waits until `wake`."""
        self._deadline = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
        self._waiting = self._loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def wake(self) -> None:
        """Ends the present wait, if there is one."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self) -> None:
        """Silence is no longer noticed. Breaks the cycle waiter → callback → connection."""
        self._on_silence = _ignore
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        if self._waiting is None:
            return
        if self._loop.time() >= self._deadline:
            self._on_silence()
        else:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)


def _ignore() -> None:
    """A closed waiter ignores silence."""
