"""Runs readings of the database beside the event loop: a few at a time, and nobody waits for one without end."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from app.errors import StoreUnavailable

_T = TypeVar("_T")


class Readers:
    """At most `at_a_time` readings run, so they take no more connections than that, however many are asked for.

    A reading cannot be stopped: one that hangs with the database keeps its place until it ends, but not its caller.
    For one event loop.
    """

    def __init__(self, at_a_time: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(at_a_time, name)
        self._places = asyncio.Semaphore(at_a_time)  # so that nothing gathers in the pool's own endless queue

    async def run(self, read: Callable[[], _T], wait_seconds: float) -> _T:
        """What `read`, which may block, returns or raises. Raises StoreUnavailable when that takes too long; one whose
        turn has not come by then never runs."""
        try:
            async with asyncio.timeout(wait_seconds):
                await self._places.acquire()
                reading = self._threads.submit(read)
                reading.add_done_callback(partial(self._leave, asyncio.get_running_loop()))
                return await asyncio.wrap_future(reading)
        except TimeoutError:
            raise StoreUnavailable("The gateway's database is busy; try again shortly.") from None

    def _leave(self, loop: asyncio.AbstractEventLoop, _: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits for a place any more
            loop.call_soon_threadsafe(self._places.release)
