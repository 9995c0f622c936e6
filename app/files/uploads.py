"""Holds the images of requests on disk until they are sent on: bounded in total and for each user, and gone with the
request or the process. Knows bytes and users; no form, no image.

A file here has no name: the kernel frees it when it is closed, and when the process dies, however it dies. Whatever
waits for the disk waits in threads of its own.
"""

import asyncio
import errno
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar, cast

from blake3 import blake3

from app.errors import Overloaded, UploadsFull

T = TypeVar("T")

_READ_BYTES = 262_144
_WRITE_BYTES = 131_072  # what is gathered in memory before it is written
_FAST_WRITE_BYTES = 393_216  # the same of pieces that are as large themselves: the next one comes soon
_THREADS = 4
_NO_WAIT = getattr(os, "RWF_NOWAIT", 0)  # Linux: read what is in memory, and nothing that must be fetched
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Uploads:
    """All uploads of this process, in `folder`. `user_bytes_max` is one user's share of `bytes_max`."""

    folder: Path
    bytes_max: int
    user_bytes_max: int
    count_max: int
    count: int = 0
    bytes_count: int = 0
    _bytes_of: dict[str, int] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_THREADS, thread_name_prefix="uploads")
    )

    def prepare(self) -> None:
        """Makes the folder (mode 0700) and removes what a dead process left with a name. Blocks. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self.folder.iterdir():
            if not left.is_dir():  # a disk of its own has a folder `lost+found`
                left.unlink(missing_ok=True)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=False)

    async def open(self, user_id: str) -> "UploadFile":
        """A new, empty upload of this user. Close it. Raises Overloaded, UploadsFull."""
        if self.count >= self.count_max:
            raise Overloaded("The gateway is receiving as many uploads as it may. Please try again shortly.")
        self.count += 1
        upload = UploadFile(self, user_id)
        try:
            await upload.make()
        except BaseException:
            await upload.aclose()
            raise
        return upload

    def take(self, user_id: str, size: int) -> None:
        """Count so many bytes more. Raises UploadsFull where there is no room for them."""
        mine = self._bytes_of.get(user_id, 0) + size
        if mine > self.user_bytes_max:
            raise UploadsFull("Your uploads fill your share of the gateway's disk. Try again when one has ended.")
        if self.bytes_count + size > self.bytes_max:
            raise UploadsFull("The gateway has no room for more uploads now. Please try again shortly.")
        self._bytes_of[user_id] = mine
        self.bytes_count += size

    def give_back(self, user_id: str, size: int) -> None:
        self.count -= 1
        self.bytes_count -= size
        mine = self._bytes_of.get(user_id, 0) - size
        if mine > 0:
            self._bytes_of[user_id] = mine
        else:
            self._bytes_of.pop(user_id, None)

    async def run(self, work: Callable[[], T]) -> T:
        """`work` in a thread that may wait for the disk. Raises UploadsFull where the disk does not take it."""
        try:
            return await asyncio.wrap_future(self._threads.submit(work))  # uvloop's own way looks at `work` at length
        except OSError as error:
            _log.error("upload_not_written", extra={"reason": str(error)})
            reason = "is full" if error.errno in _FULL else "failed"
            raise UploadsFull(f"The gateway's disk {reason}. Nothing was bought; please try again later.") from None


class UploadFile:
    """The bytes of one request, one after the other. One task uses it at a time."""

    def __init__(self, uploads: Uploads, user_id: str) -> None:
        self.size = 0
        self._uploads = uploads
        self._user_id = user_id
        self._descriptor = -1
        self._unwritten: list[bytes | bytearray] = []
        self._unwritten_bytes = 0
        self._digest = blake3()  # of what was written since it was last taken
        self._lock = threading.Lock()  # a descriptor is not closed while a thread writes to it: it could be another's
        self._is_open = True
        self._reads_at_once = bool(_NO_WAIT)

    async def make(self) -> None:
        await self._uploads.run(self._make)

    async def write(self, data: bytes | memoryview) -> None:
        """Add `data` at the end. Raises UploadsFull, and counts nothing of it then."""
        self._uploads.take(self._user_id, len(data))
        self.size += len(data)
        is_large = len(data) >= _WRITE_BYTES
        self._gather(data, is_large=is_large)
        if self._unwritten_bytes >= (_FAST_WRITE_BYTES if is_large else _WRITE_BYTES):
            await self.flush()

    async def flush(self) -> None:
        """Everything that was written can be read afterwards."""
        if self._unwritten:
            pieces, self._unwritten, self._unwritten_bytes = self._unwritten, [], 0
            await self._uploads.run(partial(self._append, pieces))

    async def take_digest(self) -> bytes:
        """The BLAKE3 of everything that was written since this was called before. Raises UploadsFull."""
        await self.flush()
        digest, self._digest = self._digest, blake3()
        return digest.digest()

    async def run(self, work: Callable[[Callable[[int, int], bytes]], T]) -> T:
        """What `work` makes of this upload, which it reads by offset and size, in a thread."""
        return await self._uploads.run(partial(work, self._read))

    async def read(self, offset: int, size: int) -> AsyncIterator[bytes]:
        """The bytes from `offset` on, some at a time."""
        end = offset + size
        while offset < end:
            count = min(_READ_BYTES, end - offset)
            data = self._read_at_once(offset, count) or await self._uploads.run(partial(self._read, offset, count))
            if not data:
                return
            yield data
            offset += len(data)

    async def aclose(self) -> None:
        """The bytes are gone. May be called more than once."""
        if not self._is_open:
            return
        self._is_open = False
        self._unwritten, self._unwritten_bytes = [], 0
        size, self.size = self.size, 0
        self._uploads.give_back(self._user_id, size)
        await asyncio.shield(self._uploads.run(self._close))

    def _make(self) -> None:
        with self._lock, TemporaryFile("wb", buffering=0, dir=self._uploads.folder) as file:
            self._descriptor = os.dup(file.fileno())

    def _gather(self, data: bytes | memoryview, *, is_large: bool) -> None:
        """A large piece is kept as it is, small ones are copied together: each costs memory besides."""
        self._unwritten_bytes += len(data)
        if is_large:
            self._unwritten.append(bytes(data))  # no copy, but of a view
            return
        last = self._unwritten[-1] if self._unwritten else None
        if isinstance(last, bytearray):
            last += data
        else:
            self._unwritten.append(bytearray(data))

    def _append(self, pieces: list[bytes | bytearray]) -> None:
        with self._lock:
            for piece in pieces:
                self._digest.update(piece)
                written = 0
                while written < len(piece) and self._descriptor >= 0:
                    written += os.write(self._descriptor, memoryview(piece)[written:])

    def _read(self, offset: int, size: int) -> bytes:
        with self._lock:
            return os.pread(self._descriptor, size, offset) if self._descriptor >= 0 else b""

    def _read_at_once(self, offset: int, size: int) -> bytes:
        """What the kernel has in memory: nearly always all of what was written a moment ago, so that no thread is
        needed. Empty where some must be waited for.
        """
        if not self._reads_at_once or not self._lock.acquire(blocking=False):
            return b""
        try:
            data = bytearray(size)
            del data[os.preadv(self._descriptor, [data], offset, _NO_WAIT) :]
        except BlockingIOError:
            return b""
        except OSError:  # this disk cannot say, as with tmpfs, or the file is closed
            self._reads_at_once = False
            return b""
        finally:
            self._lock.release()
        return cast("bytes", data)  # whoever sends it only asks what both have

    def _close(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
