"""An answer's body as chunks, for every transport: ours gives them in place, others through an iterator.

Removes compression that was not asked for. Knows no connection.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple, Protocol, cast

import httpx2

from app.upstream.wire.inflate import INFLATED, Inflater


class Chunk(NamedTuple):
    """A part of a body: `view` shows the first bytes of `data`. They do not change while the view is alive."""

    data: bytes | bytearray
    view: memoryview


class Chunks(Protocol):
    """A body that can be read without copying it. Close it if it was not read to its end."""

    async def read(self) -> Chunk | None:
        """The next bytes; None at the end. While nobody reads, the sender waits. Raises what the body's transport
        raises: httpx2.TransportError, and with stock HTTPX also OSError.
        """
        ...

    async def aclose(self) -> None:
        """May be called more than once."""
        ...


def chunks_of(stream: object, encoding: str) -> Chunks:
    """The body of a transport's answer, decompressed. Raises RemoteProtocolError for an unknown encoding."""
    if hasattr(stream, "read"):  # not isinstance, which inspects the protocol at every call
        chunks = cast("Chunks", stream)
    else:
        assert isinstance(stream, httpx2.AsyncByteStream)
        chunks = _Iterated(stream)
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return chunks
    if encoding.encode() not in INFLATED:
        raise httpx2.RemoteProtocolError("The answer's content encoding is not known here.")
    return _Inflated(chunks)


class _Iterated:
    """The chunks of any stream."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream
        self._pieces: AsyncIterator[bytes] = aiter(stream)

    async def read(self) -> Chunk | None:
        async for piece in self._pieces:
            if piece:
                return Chunk(piece, memoryview(piece))
        await self.aclose()
        return None

    async def aclose(self) -> None:
        await self._stream.aclose()
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()


class _Inflated:
    """A decompressed body, in pieces of a bounded size."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._inflating = Inflater()
        self._pieces: Iterator[bytes] = iter(())

    async def read(self) -> Chunk | None:
        try:
            while (piece := next(self._pieces, None)) is None:
                chunk = await self._chunks.read()
                if chunk is None:
                    self._inflating.end()
                    return None
                self._pieces = self._inflating.feed(bytes(chunk.view))
            await asyncio.sleep(0)  # a little input may become many pieces: other tasks run between them
            return Chunk(piece, memoryview(piece))
        except zlib.error as error:
            raise httpx2.ReadError(str(error)) from error

    async def aclose(self) -> None:
        await self._chunks.aclose()
