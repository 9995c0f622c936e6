"""The memory that answers are read into. What was read is passed on where it lies, without a copy; its memory is read
into again once nobody looks at it any more. Knows no connection."""

from collections import deque

from app.upstream.wire.chunks import Chunk

_LENT_MAX = 8  # for as many answers that pass at full speed; slow clients, who keep them, get copies of the right size
# A chunk up to this size is copied: to keep a whole buffer for it would be a waste of memory. Larger ones go on without
# a copy, which saves a tenth of an answer's CPU or more (docs/performance.md).
COPIED_BYTES_MAX = 65_536


class Buffers:
    """Buffers of `size` bytes, a handful in all. All connections read into `current`, and take what they read."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lent: deque[bytearray] = deque()
        self.current = bytearray(size)

    def take(self, size: int) -> Chunk:
        """The first `size` bytes of the current buffer: a copy of a few, or when every buffer is out; else reads go to
        another buffer for as long as the chunk's view is alive."""
        free = self._free() if size > COPIED_BYTES_MAX else None
        if free is None:
            copy = bytes(memoryview(self.current)[:size])
            return Chunk(copy, memoryview(copy))
        taken, self.current = self.current, free
        self._lent.append(taken)
        return Chunk(taken, memoryview(taken)[:size])

    def _free(self) -> bytearray | None:
        """One that nobody looks at any more, or one more; None when there are as many as there may be."""
        for _ in range(len(self._lent)):
            buffer = self._lent.popleft()
            if not _is_looked_at(buffer):
                return buffer
            self._lent.append(buffer)
        return bytearray(self._size) if len(self._lent) < _LENT_MAX else None


def _is_looked_at(buffer: bytearray) -> bool:
    """Whether a memoryview of it is alive: Python refuses to change its length then."""
    try:
        last = buffer.pop()
    except BufferError:
        return True
    buffer.append(last)
    return False
