"""Runs reads of the database beside the event loop: a few at a time, and every wait is bounded."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TypeVar

from app.errors import StoreUnavailable

_T = TypeVar("_T")

_AGAIN_SECONDS = 1.0  # between two tries


class Readers:
    """At most `at_a_time` reads run, so they use no more connections than that, however many are requested.

    A running read cannot be stopped. One that hangs with the database keeps its slot until it ends, but its caller goes
    on, and the process can end: each read has a daemon thread, while Python waits for the threads of a
    ThreadPoolExecutor. For one event loop.
    """

    def __init__(self, at_a_time: int, name: str) -> None:
        self._name = name
        self._places = asyncio.Semaphore(at_a_time)

    async def run(self, read: Callable[[], _T], wait_seconds: float) -> _T:
        """What `read`, which may block, returns or raises. Raises StoreUnavailable if that takes too long; a read that
        has not begun by then never runs.
        """
        try:
            async with asyncio.timeout(wait_seconds):
                await self._places.acquire()
                reading = Future[_T]()
                reading.add_done_callback(partial(self._leave, asyncio.get_running_loop()))
                try:
                    threading.Thread(target=_run, args=(read, reading), name=self._name, daemon=True).start()
                except RuntimeError:  # the process may have no more threads
                    reading.set_exception(StoreUnavailable("The gateway's database is busy; try again shortly."))
                return await asyncio.wrap_future(reading)
        except TimeoutError:
            raise StoreUnavailable("The gateway's database is busy; try again shortly.") from None

    async def run_until_answered(self, read: Callable[[], _T], wait_seconds: float, seconds_max: float) -> _T:
        """The same, asked again for `seconds_max` while the database is away. `read` may have run before, unnoticed."""
        monotonic = asyncio.get_running_loop().time
        deadline = monotonic() + seconds_max
        while True:
            try:
                return await self.run(read, wait_seconds)
            except StoreUnavailable:
                if monotonic() >= deadline:
                    raise
            await asyncio.sleep(_AGAIN_SECONDS)

    def _leave(self, loop: asyncio.AbstractEventLoop, _: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits for a slot any more
            loop.call_soon_threadsafe(self._places.release)


def _run(read: Callable[[], _T], reading: "Future[_T]") -> None:
    if not reading.set_running_or_notify_cancel():
        return
    try:
        reading.set_result(read())
    except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
        reading.set_exception(error)
