"""Removes compression that was not asked for, in bounded pieces, whatever the ratio. Pure."""

import zlib
from collections.abc import Iterator

_PIECE_BYTES_MAX = 262_144
_EITHER = 32 + zlib.MAX_WBITS  # accepts gzip's header and zlib's
INFLATED = frozenset({b"gzip", b"x-gzip", b"deflate"})


class Inflater:
    """One compressed body. Raises zlib.error for data that is not compressed, or that continues after its end."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_EITHER)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The decompressed pieces of `chunk`. Raises zlib.error."""
        while chunk:
            if piece := self._stream.decompress(chunk, _PIECE_BYTES_MAX):
                yield piece
            chunk = self._stream.unconsumed_tail
            if self._stream.unused_data:
                raise zlib.error("more after the end")

    def end(self) -> None:
        """The body has ended. Raises zlib.error if the compressed data is not complete."""
        if not self._stream.eof:
            raise zlib.error("the end is missing")
