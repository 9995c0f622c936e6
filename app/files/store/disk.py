"""Threads that may wait for a disk or a bucket, so that the event loop does not."""

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from app.errors import FilesUnavailable

T = TypeVar("T")

_THREADS = 8
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_log = logging.getLogger(__name__)


class Disk:
    """Runs what waits for files."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="files")

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns. Raises FilesUnavailable for its OSError."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as error:
            _log.error("files_unavailable", extra={"reason": str(error)})
            reason = "is full" if error.errno in _FULL else "does not answer"
            raise FilesUnavailable(f"The gateway's room for files {reason}.") from error

    async def read(self, descriptor: int, offset: int, size: int) -> bytes:
        return await self.run(partial(os.pread, descriptor, size, offset))

    def start(self, work: Callable[[], None]) -> None:
        """Nobody waits for it."""
        self._threads.submit(work)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=False)
