"""Writes log lines in a thread of its own, so that a slow disk or log reader never blocks serving.

The waiting lines are bounded. Lines that do not fit, or cannot be written, are counted and reported later.
"""

import os
import select
import threading
from collections.abc import Callable, Iterator

_BYTES_MAX = 4 << 20
_GATHER_SECONDS = 0.01  # lines of this time are written together, so that the thread seldom needs the interpreter
_PAUSE_SECONDS = 1.0  # after a write that failed


class LineWriter:
    """`write` writes bytes; it may block for ever and may raise OSError. `describe(count)` makes the line that reports
    how many were dropped. `on_dropped` is called with each number of dropped lines, one call at a time.
    """

    def __init__(
        self, write: Callable[[bytes], object], describe: Callable[[int], bytes], bytes_max: int = _BYTES_MAX
    ) -> None:
        self._write = write
        self._describe = describe
        self._bytes_max = bytes_max
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._lines: list[bytes] = []
        self._queued_bytes = 0
        self._unreported = 0
        self._is_writing = False
        self._is_closed = False
        self._flushes = 0
        self._on_dropped: Callable[[int], None] | None = None

    def put(self, line: bytes) -> None:
        """Queues one line, including its end. Never waits, never raises."""
        with self._changed:
            if self._queued_bytes + len(line) > self._bytes_max:
                self._drop(1)
                return
            self._lines.append(line)
            self._queued_bytes += len(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
            elif len(self._lines) == 1:
                self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Waits until every line is written or dropped, at most `seconds`. Returns whether that is so."""
        with self._changed:
            self._flushes += 1
            self._changed.notify_all()
            is_done = self._changed.wait_for(lambda: not self._lines and not self._is_writing, seconds)
            self._flushes -= 1
        return is_done

    def close(self) -> None:
        """Ends the thread once everything that waits is written."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def tell_dropped(self, on_dropped: Callable[[int], None]) -> None:
        """Calls `on_dropped` from now on, in the thread that notices."""
        with self._changed:
            self._on_dropped = on_dropped

    def _drop(self, count: int) -> None:
        self._unreported += count
        if self._on_dropped is not None:
            self._on_dropped(count)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._is_closed)
                if not self._lines:
                    return
                self._changed.wait_for(lambda: self._flushes or self._is_closed, _GATHER_SECONDS)
                lines, self._lines, self._queued_bytes = self._lines, [], 0
                self._is_writing = True
            has_written = self._write_lines(lines)
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                if not has_written:
                    self._changed.wait_for(lambda: self._flushes or self._is_closed, _PAUSE_SECONDS)

    def _write_lines(self, lines: list[bytes]) -> bool:
        """Writes lines; those that could not be written are dropped. Returns whether all were written."""
        missing = len(lines)
        try:
            if self._unreported:
                count = self._unreported
                self._write(self._describe(count))
                with self._changed:
                    self._unreported -= count
            for piece, count in pieces(lines):
                self._write(piece)
                missing -= count
        except (OSError, ValueError):  # ValueError: somebody closed the stream
            with self._changed:
                self._drop(missing)
            return False
        return True


def pieces(lines: list[bytes]) -> Iterator[tuple[bytes, int]]:
    """The lines joined in pieces that a pipe accepts at once, with the number of lines in each, so that lines of
    several workers do not mix.
    """
    piece = list[bytes]()
    length = 0
    for line in lines:
        if piece and length + len(line) > select.PIPE_BUF:
            yield b"".join(piece), len(piece)
            piece, length = [], 0
        piece.append(line)
        length += len(line)
    if piece:
        yield b"".join(piece), len(piece)


def to_descriptor(descriptor: int) -> Callable[[bytes], None]:
    """A `write` for LineWriter that writes all bytes, even if the descriptor is non-blocking."""

    def write(data: bytes) -> None:
        missing = memoryview(data)
        while missing:
            try:
                missing = missing[os.write(descriptor, missing) :]
            except BlockingIOError:
                select.select([], [descriptor], [])

    return write
