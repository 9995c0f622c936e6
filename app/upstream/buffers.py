"""The memory that answers are read into. What was read is passed on where it lies, without a copy; its memory is read
into again once nobody looks at it any more. Knows no connection."""

from collections import deque
from typing import NamedTuple

_LENT_MAX = 8  # for as many answers that pass at full speed; the memory of more is made anew for each chunk


# A chunk up to this size is copied: to keep a whole buffer for it would be a waste of memory. Larger ones go on without
# a copy, which saves a quarter of the CPU of an answer of megabytes.
COPIED_BYTES_MAX = 65_536


class Chunk(NamedTuple):
    """A part of a body: `view` shows the first bytes of `data`. They stay as they are while the view is alive."""

    data: bytes | bytearray
    view: memoryview


class Buffers:
    """Buffers of `size` bytes. All connections read into `current`, and take what they read."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lent: deque[bytearray] = deque(maxlen=_LENT_MAX)  # one that is forgotten belongs to those who look at it
        self.current = bytearray(size)

    def take(self, size: int) -> Chunk:
        """The first `size` bytes of the current buffer: a copy of a few, or else reads go to another buffer for as long
        as the chunk's view is alive."""
        if size <= COPIED_BYTES_MAX:
            copy = bytes(memoryview(self.current)[:size])
            return Chunk(copy, memoryview(copy))
        taken = self.current
        self.current = self._take_free() or bytearray(self._size)
        self._lent.append(taken)
        return Chunk(taken, memoryview(taken)[:size])

    def _take_free(self) -> bytearray | None:
        for _ in range(len(self._lent)):
            buffer = self._lent.popleft()
            if not _is_looked_at(buffer):
                return buffer
            self._lent.append(buffer)
        return None


def _is_looked_at(buffer: bytearray) -> bool:
    """Whether a memoryview of it is alive: Python refuses to change its length then."""
    try:
        last = buffer.pop()
    except BufferError:
        return True
    buffer.append(last)
    return False
