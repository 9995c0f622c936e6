"""A file that is being written: on this machine's disk, under a name of its own until it is whole. Blocks.

Its process holds a lock on it. The kernel releases that when the process dies, however it dies, and then anybody may
remove the file.
"""

import fcntl
import logging
import os
import threading
from pathlib import Path

from app.files.store.folder import check_room

_SUFFIX = ".part"
_log = logging.getLogger(__name__)


class Draft:
    """An empty file in `folder`. Raises OSError where the disk takes none, or is nearly full."""

    def __init__(self, folder: Path, name: str) -> None:
        check_room(folder)
        self.path = folder / f"{name}{_SUFFIX}"
        self._lock = threading.Lock()  # a descriptor is not closed while a thread writes to it: it could be another's
        self._descriptor = self._make()

    def _make(self) -> int:
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return descriptor
            os.close(descriptor)  # somebody who removes dead drafts had the lock first

    def append(self, data: bytearray) -> int:
        """Adds `data`. Returns how many bytes were written: less than all where the disk failed."""
        written = 0
        with self._lock, memoryview(data) as view:
            try:
                while written < len(view):
                    written += os.write(self._descriptor, view[written:])
            except OSError as error:
                _log.error("file_not_written", extra={"reason": str(error)})
        return written

    def reader(self) -> int:
        """A descriptor of its own, which reads what was written by then and later. Close it."""
        return os.dup(self._descriptor)

    def close(self) -> None:
        """Removes the file, unless it was moved away. May be called more than once."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:
                self.path.unlink(missing_ok=True)
                os.close(descriptor)


def remove_dead_drafts(folder: Path) -> int:
    """Removes what dead processes left, and returns how many files that were. Raises OSError."""
    count = 0
    for path in folder.glob(f"*{_SUFFIX}"):
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
            count += 1
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
    return count
