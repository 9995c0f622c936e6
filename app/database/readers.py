"""Runs reads of the database beside the event loop: a few at a time, and every wait is bounded."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from app.errors import StoreUnavailable

_T = TypeVar("_T")


class Readers:
    """At most `at_a_time` reads run, so they use no more connections than that, however many are requested.

    A running read cannot be stopped. One that hangs with the database keeps its slot until it ends, but its caller goes
    on. For one event loop.
    """

    def __init__(self, at_a_time: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(at_a_time, name)
        self._places = asyncio.Semaphore(at_a_time)  # so that nothing waits in the pool's own unbounded queue

    async def run(self, read: Callable[[], _T], wait_seconds: float) -> _T:
        """What `read`, which may block, returns or raises. Raises StoreUnavailable if that takes too long; a read that
        has not begun by then never runs.
        """
        try:
            async with asyncio.timeout(wait_seconds):
                await self._places.acquire()
                reading = self._threads.submit(read)
                reading.add_done_callback(partial(self._leave, asyncio.get_running_loop()))
                return await asyncio.wrap_future(reading)
        except TimeoutError:
            raise StoreUnavailable("The gateway's database is busy; try again shortly.") from None

    def _leave(self, loop: asyncio.AbstractEventLoop, _: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits for a slot any more
            loop.call_soon_threadsafe(self._places.release)
