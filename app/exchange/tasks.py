"""Named background tasks: each is kept until it ends, and a stop can wait for all of them. Knows no request."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Tasks:
    """The tasks that outlive the request that started them."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Starts a task that is kept until it is done."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.keep(task)
        return task

    def keep(self, future: asyncio.Future[Any]) -> None:
        """Keeps a future of another part as well, until it is done."""
        self._running.add(future)
        future.add_done_callback(self._running.discard)

    async def drain(self, seconds: float) -> int:
        """Waits for everything. Returns how many were still not done after `seconds`."""
        if not self._running:
            return 0
        _, pending = await asyncio.wait(self._running, timeout=seconds)
        return len(pending)
