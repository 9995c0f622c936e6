"""Keeps two processes from serving out of one folder: an SQLite database has one writer and one ledger."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import ConfigurationError, Conflict

_LOCK_NAME = "gateway.lock"
_PID_DIGITS_MAX = 20


@contextmanager
def only_instance(folder: Path) -> Iterator[None]:
    """Holds `folder`, which is made if it is missing, for this process until the block ends.

    When the process dies, the kernel releases the lock; the file stays and means nothing. Raises Conflict if another
    process holds the folder, ConfigurationError if it cannot be written.
    """
    path = folder / _LOCK_NAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(f"The lock file {path} cannot be written: {error.strerror}.") from error
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, _PID_DIGITS_MAX).decode("ascii", "replace").strip() or "unknown"
        raise Conflict(
            f"Another gateway (process {holder}) already serves from {folder}. An SQLite database serves one process: "
            "stop the other one, give this one a GATEWAY_DATA_DIR of its own, or set "
            "GATEWAY_DATABASE_URL=postgresql://… to run several on one database."
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
