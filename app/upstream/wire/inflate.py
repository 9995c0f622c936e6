"""Undoes compression nobody asked for, in bounded pieces however far it was compressed. Pure."""

import zlib
from collections.abc import Iterator

_PIECE_BYTES_MAX = 262_144
_EITHER = 32 + zlib.MAX_WBITS  # gzip's header or zlib's, whichever is there
INFLATED = frozenset({b"gzip", b"x-gzip", b"deflate"})


class Inflater:
    """One compressed body. Raises zlib.error for what is not one, or goes on after its end."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_EITHER)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if piece := self._stream.decompress(chunk, _PIECE_BYTES_MAX):
                yield piece
            chunk = self._stream.unconsumed_tail
            if self._stream.unused_data:
                raise zlib.error("more after the end")

    def end(self) -> None:
        """The body is over. Raises zlib.error if what was compressed is not whole."""
        if not self._stream.eof:
            raise zlib.error("the end is missing")
