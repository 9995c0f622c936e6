"""Resolutions on disk while the database does not accept them: one file per process, held with flock, so that files of
dead processes differ from those of living ones. Knows files; keeper.py decides when. Blocks.
"""

import errno
import fcntl
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from app.quotas.ledger.commands import Resolve
from app.quotas.ledger.spool.format import read_spool, spool_line

_SUFFIX = ".jsonl"

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Kept:
    """A resolution that is on disk, and its file."""

    resolution: Resolve
    line: bytes
    file: "_File"


class Spool:
    """The spool of one process in `folder`. Not thread-safe.

    `name` is unique to the process among all that share the folder. Its file exists only while a resolution waits in
    it, and has at most `bytes_max` bytes.
    """

    def __init__(self, folder: Path, name: str, bytes_max: int) -> None:
        self._folder = folder
        self._name = name
        self._bytes_max = bytes_max
        self._numbers = count(1)
        self._file: _File | None = None  # the file that is written to
        self._held: set[_File] = set()  # all files that are locked by this process

    def prepare(self) -> None:
        """Makes the folder (mode 0700). Raises OSError if nothing could be written there."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "the folder cannot be written", str(self._folder))

    def keep(self, resolutions: Sequence[Resolve]) -> list[Kept]:
        """Writes resolutions to the disk in their order, as many as fit. When it returns, they survive a power cut.

        Raises OSError, and keeps none of them, if the disk does not accept them.
        """
        lines = [spool_line(resolution) for resolution in resolutions]
        if self._size_bytes + sum(map(len, lines)) > self._bytes_max:
            self._drop_what_is_written()
        fitting = _fitting(lines, self._bytes_max - self._size_bytes)
        if not fitting:
            return []
        if self._file is None:
            self._file = self._create()
        self._file.append(b"".join(fitting))
        kept = [Kept(resolution, line, self._file) for resolution, line in zip(resolutions, fitting, strict=False)]
        self._file.waiting.update(dict.fromkeys(kept))
        return kept

    def forget(self, kept: Kept, *, settled: bool = True) -> None:
        """The database has accepted it. After its last one, the file is removed. With `settled` False this database
        never will: the file stays, for the next start or for a person to look at.
        """
        file = kept.file
        del file.waiting[kept]
        file.must_stay = file.must_stay or not settled
        self._finish(file)

    def take_over(self) -> list[Kept]:
        """The resolutions that dead processes left. Their files belong to this process from now on.

        Files of living processes are left alone, and so are files that cannot be opened.
        """
        taken: list[Kept] = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                file = _File.take(path)
            except OSError as error:
                _log.warning("spool_file_not_read", extra={"file": str(path), "reason": str(error)})
                continue
            if file is not None:
                self._held.add(file)
                taken += file.waiting
                self._finish(file)
        return taken

    def close(self) -> None:
        """Closes every file; what waits in them is for the next process. Idempotent."""
        for file in self._held:
            file.close()
        self._held.clear()
        self._file = None

    @property
    def _size_bytes(self) -> int:
        return 0 if self._file is None else self._file.size_bytes

    def _create(self) -> "_File":
        self.prepare()
        file = _File.create(self._folder / f"{self._name}-{next(self._numbers)}{_SUFFIX}")
        self._held.add(file)
        return file

    def _drop_what_is_written(self) -> None:
        """Continues in a new file with what still waits. A crash in between leaves both files; a repeated line changes
        nothing.
        """
        old = self._file
        if old is None or old.must_stay or old.size_bytes == sum(len(kept.line) for kept in old.waiting):
            return
        new = self._create()
        try:
            new.append(b"".join(kept.line for kept in old.waiting))
        except OSError:
            self._finish(new)
            raise
        for kept in old.waiting:
            kept.file = new
        new.waiting, old.waiting = old.waiting, {}
        self._file = new
        self._finish(old)

    def _finish(self, file: "_File") -> None:
        """Removes a file in which nothing waits any more."""
        if file.waiting:
            return
        if file is self._file:
            self._file = None
        if not file.must_stay:
            file.remove()
            self._held.discard(file)


@dataclass(slots=True, eq=False)
class _File:
    """One file, locked by this process. `waiting`: what no database has accepted yet, in order."""

    path: Path
    descriptor: int
    size_bytes: int = 0
    waiting: dict[Kept, None] = field(default_factory=dict)
    must_stay: bool = False

    @classmethod
    def create(cls, path: Path) -> "_File":
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        if not _lock(descriptor):
            os.close(descriptor)
            raise BlockingIOError(errno.EAGAIN, "taken over while it was made", str(path))
        file = cls(path, descriptor)
        try:
            _sync_folder(path.parent)  # otherwise a power cut could lose the file's name
        except OSError:
            file.remove()
            raise
        return file

    @classmethod
    def take(cls, path: Path) -> "_File | None":
        """The file and its content; None if a living process has it."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            locked = _lock(descriptor)
            data = _read(descriptor) if locked else b""
        except OSError:
            os.close(descriptor)
            raise
        if not locked:
            os.close(descriptor)
            return None
        contents = read_spool(data)
        file = cls(path, descriptor, len(data), must_stay=contents.unreadable > 0)
        file.waiting = dict.fromkeys(Kept(each, spool_line(each), file) for each in contents.resolutions)
        extra = {"file": str(path), "settlements": len(file.waiting), "unreadable_lines": contents.unreadable}
        _log.log(logging.ERROR if file.must_stay else logging.WARNING, "spool_taken_over", extra=extra)
        return file

    def append(self, data: bytes) -> None:
        """Writes all of it to the disk. Raises OSError if not, and then keeps none of it."""
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self.descriptor, data[written:], self.size_bytes + written)
            os.fsync(self.descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self.descriptor, self.size_bytes)
            raise
        self.size_bytes += len(data)

    def remove(self) -> None:
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:  # its content is written, and writing it again changes nothing
            _log.warning("spool_file_not_removed", extra={"file": str(self.path), "reason": str(error)})
        self.close()

    def close(self) -> None:
        os.close(self.descriptor)


def _lock(descriptor: int) -> bool:
    """Locks the file; whether it is this process's now. A file that was removed meanwhile belongs to nobody."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0


def _read(descriptor: int) -> bytes:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fitting(lines: Sequence[bytes], room_bytes: int) -> list[bytes]:
    """The first of them that fit into the remaining space."""
    fitting: list[bytes] = []
    for line in lines:
        room_bytes -= len(line)
        if room_bytes < 0:
            break
        fitting.append(line)
    return fitting
