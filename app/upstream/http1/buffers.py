"""The memory that answers are read into. Chunks are passed on in place, without a copy. A buffer is read into again
once no view of it is alive. Knows no connection.
"""

from collections import deque

from app.upstream.wire.chunks import Chunk

_LENT_MAX = 8  # for as many answers at full speed; slow clients keep their chunks, so they get copies of the right size
# A chunk up to this size is copied, because keeping a whole buffer for it would waste memory. Larger ones are passed on
# without a copy, which saves a tenth of an answer's CPU or more (docs/performance.md).
COPIED_BYTES_MAX = 65_536


class Buffers:
    """Buffers of `size` bytes, a handful in all. All connections read into `current`, and take what they read."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lent: deque[bytearray] = deque()
        self.current = bytearray(size)

    def take(self, size: int) -> Chunk:
        """The first `size` bytes of the current buffer. A small chunk is copied, and every chunk if no buffer is free.
        Otherwise, reads use another buffer while the chunk's view is alive.
        """
        free = self._free() if size > COPIED_BYTES_MAX else None
        if free is None:
            copy = bytes(memoryview(self.current)[:size])
            return Chunk(copy, memoryview(copy))
        taken, self.current = self.current, free
        self._lent.append(taken)
        return Chunk(taken, memoryview(taken)[:size])

    def _free(self) -> bytearray | None:
        """A buffer without a live view, or a new one; None if the maximum exists."""
        for _ in range(len(self._lent)):
            buffer = self._lent.popleft()
            if not _is_looked_at(buffer):
                return buffer
            self._lent.append(buffer)
        return bytearray(self._size) if len(self._lent) < _LENT_MAX else None


def _is_looked_at(buffer: bytearray) -> bool:
    """Whether a memoryview of it is alive: Python then refuses to change its length."""
    try:
        last = buffer.pop()
    except BufferError:
        return True
    buffer.append(last)
    return False
