"""Where files of tests lie: in memory where the machine offers enough of it. On a disk SQLite waits for the disk at
every commit, and PostgreSQL takes ten times as long to make a database; neither is what a test is about."""

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
_FREE_BYTES_MIN = 4_000_000_000
_VARIABLE = "PYTEST_DEBUG_TEMPROOT"  # pytest's own: where `tmp_path` is made


def temporary_root() -> Path:
    """What PYTEST_DEBUG_TEMPROOT names, else memory, else the usual folder (TMPDIR)."""
    if chosen := os.environ.get(_VARIABLE):
        return Path(chosen)
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _FREE_BYTES_MIN:
        return _MEMORY
    return Path(tempfile.gettempdir())


def use_temporary_root() -> None:
    """Makes `tmp_path` and every later `temporary_root` the same folder, also in the processes of xdist."""
    os.environ[_VARIABLE] = str(temporary_root())
