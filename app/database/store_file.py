"""Notices that an SQLite file was deleted or replaced while the process has it open: what is written then is lost.

Knows files only; the ledger decides what that means for requests.
"""

import logging
import os
from pathlib import Path

from sqlalchemy import Engine

from app.errors import StoreUnavailable

OPTION = "store_file"  # its key among an engine's execution options

_log = logging.getLogger(__name__)


class StoreFile:
    """One path, and the file it named when the first connection was made. For any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None
        self._is_lost = False

    def remember(self) -> None:
        """From now on the path must name the file that it names now. Only the first call counts."""
        if self._identity is None:
            self._identity = self._look()

    def check(self) -> None:
        """Raises StoreUnavailable if the path names another file or none, and from then on always: until a restart
        nobody can tell which of the two files has the records.
        """
        if self._is_lost or (self._identity is not None and self._look() != self._identity):
            if not self._is_lost:
                _log.error("database_file_replaced", extra={"path": str(self._path)})
            self._is_lost = True
            raise StoreUnavailable("The gateway's database is not available; try again shortly.")

    def _look(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - called for every transaction
        except OSError:
            return None
        return found.st_dev, found.st_ino


def check_file(engine: Engine) -> None:
    """Raises StoreUnavailable if the engine's file was deleted or replaced. Does nothing on PostgreSQL."""
    file: StoreFile | None = engine.get_execution_options().get(OPTION)
    if file is not None:
        file.check()
