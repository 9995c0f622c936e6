"""Numbers that the workers of one gateway keep in shared memory: each adds to its own, any of them can sum all.

They survive the worker that wrote them, however it died, and vanish with the gateway, so no file must be cleaned up.
This file does not know what a number means.
"""

import fcntl
import json
import logging
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

CELLS_MAX = 262_144  # of one worker; only used cells take memory
LIVE = "live:"  # prefix of a family whose values end with their worker
# Values without a cell of their own are counted in these last cells, which nobody reads.
WIDTH_MAX = 64
_SPARE = CELLS_MAX - WIDTH_MAX
_CELL_BYTES = 8
_READ_BYTES = 1 << 20

_log = logging.getLogger("gateway")


def shared_memory(workers: int) -> int:
    """A descriptor of memory for the SharedCounters of so many workers. It has no name, so it must be inherited."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("zenmux-gateway-metrics")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, workers * CELLS_MAX * _CELL_BYTES)
    return descriptor


class SharedCounters:
    """Cells of 64-bit floats, all 0 at first: one set for each of `workers`, in the memory of `descriptor`.

    Without a descriptor the memory is private. The names of the series are stored after the cells, one per line,
    appended under a lock. So a series has the same position in every worker. Not thread-safe.
    """

    def __init__(self, descriptor: int | None = None, worker: int = 0, workers: int = 1) -> None:
        self._descriptor = descriptor
        self._names_at = workers * CELLS_MAX * _CELL_BYTES
        cells = memoryview(mmap.mmap(-1 if descriptor is None else descriptor, self._names_at)).cast("d")
        self._all = [cells[start : start + CELLS_MAX] for start in range(0, len(cells), CELLS_MAX)]
        self.cells = self._all[worker]
        self._families: dict[str, dict[tuple[str, ...], int]] = {}
        self._used = 0
        self._read_bytes = 0
        self._is_full = False

    def place(self, family: str, labels: tuple[str, ...], width: int) -> int:
        """The first of the `width` cells of this series. A series without room gets cells that nobody reads."""
        at = self._place(family, labels, width, None)
        if at is not None:
            return at
        if not self._is_full:
            self._is_full = True
            _log.warning("metrics_full", extra={"family": family})
        return _SPARE

    def admit(self, family: str, name: str, names_max: int) -> bool:
        """Whether `name` is among the first `names_max` names that any worker gave `family`. The answer never
        changes.
        """
        return self._place(family, (name,), 0, names_max) is not None

    def clear_live(self, worker: int) -> None:
        """Clears the live values of a worker that has ended."""
        with self._naming():
            for family, series in self._families.items():
                for at in series.values() if family.startswith(LIVE) else ():
                    self._all[worker][at] = 0.0

    def series(self, family: str) -> list[tuple[tuple[str, ...], int]]:
        """The labels of each series of the family in any worker, and the position of its cells."""
        with self._naming():
            return list(self._families.get(family, {}).items())

    def total(self, at: int) -> float:
        """The sum over all workers of one cell."""
        return sum(cells[at] for cells in self._all)

    def _place(self, family: str, labels: tuple[str, ...], width: int, series_max: int | None) -> int | None:
        known = self._families.setdefault(family, {})
        at = known.get(labels)
        # Names are never removed, so a family that is full here is full in every worker.
        if at is not None or (series_max is not None and len(known) >= series_max):
            return at
        with self._naming():
            if labels in known:
                return known[labels]
            if self._used + width > _SPARE or (series_max is not None and len(known) >= series_max):
                return None
            self._append(json.dumps([family, width, *labels]).encode() + b"\n")
            return self._take(family, labels, width)

    def _take(self, family: str, labels: tuple[str, ...], width: int) -> int:
        at = self._families.setdefault(family, {})[labels] = self._used
        self._used += width
        return at

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Every name of every worker is known, and no other worker adds one meanwhile."""
        if self._descriptor is None:
            yield
            return
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)  # released if the worker dies
        try:
            self._catch_up(self._descriptor)
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def _catch_up(self, descriptor: int) -> None:
        text = b""
        while part := os.pread(descriptor, _READ_BYTES, self._names_at + self._read_bytes + len(text)):
            text += part
        whole, newline, _ = text.rpartition(b"\n")  # the rest, if any, is from a worker that died while writing it
        for line in whole.splitlines():
            family, width, *labels = json.loads(line)
            self._take(family, tuple(labels), width)
        self._read_bytes += len(whole) + len(newline)

    def _append(self, line: bytes) -> None:
        if self._descriptor is None:
            return
        end = self._names_at + self._read_bytes
        os.ftruncate(self._descriptor, end)
        if os.pwrite(self._descriptor, line, end) < len(line):
            raise OSError("The memory for the names of metrics is used up.")
        self._read_bytes += len(line)
