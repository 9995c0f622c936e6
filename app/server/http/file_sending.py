"""Sends parts of open files to callers with sendfile, in threads: a disk that is slow must not hold the event loop.

No thread waits for a caller for long: one that takes no more has its next turn once it does.
"""

import asyncio
import os
import select
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

_THREADS = 8
_WAIT_MS = 2  # a caller that reads has taken more by then, and its thread goes on without the event loop
_WAITS_MAX = 25  # who reads a little at a time must not keep a thread from the others


class FileSender:
    """Shared by all connections of a process."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="sendfile")
        self._turns = asyncio.Semaphore(_THREADS)  # who waits for a thread holds no descriptors of its own

    async def send_some(self, connection: int, file: int, offset: int, count: int) -> int:
        """How many of the `count` bytes from `offset` on the kernel took: fewer where the caller takes no more now.
        `connection` and `file` are descriptors; the first does not block. Raises ConnectionError where the caller is
        gone, OSError where the file fails.
        """
        async with self._turns:
            return await asyncio.wrap_future(self._start(connection, file, offset, count))

    def _start(self, connection: int, file: int, offset: int, count: int) -> Future[int]:
        with ExitStack() as stack:
            # The thread's own: those of the caller may be closed meanwhile, and their numbers be somebody else's.
            mine = (_duplicate(connection, stack), _duplicate(file, stack))
            work = self._threads.submit(partial(_send_some, *mine, offset, count))
            close = stack.pop_all().close
        work.add_done_callback(lambda _: close())  # also of work that is cancelled before it begins
        return work


async def writable(connection: int, wake: asyncio.Future[None]) -> None:
    """Waits until the connection takes more, or `wake` is done."""
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        mine = _duplicate(connection, stack)  # the loop watches its transport's own descriptor itself
        loop.add_writer(mine, wake_up, wake)
        stack.callback(loop.remove_writer, mine)
        await wake


def _duplicate(descriptor: int, stack: ExitStack) -> int:
    made = os.dup(descriptor)
    stack.callback(os.close, made)
    return made


def wake_up(wake: asyncio.Future[None]) -> None:
    if not wake.done():
        wake.set_result(None)


def _send_some(connection: int, file: int, offset: int, count: int) -> int:
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    sent = waits = 0
    while sent < count:
        try:
            size = os.sendfile(connection, file, offset + sent, count - sent)
        except BlockingIOError:
            waits += 1
            if waits > _WAITS_MAX or not poll.poll(_WAIT_MS):
                break
            continue
        if size == 0:
            raise OSError("The file is shorter than it was.")
        sent += size
    return sent
