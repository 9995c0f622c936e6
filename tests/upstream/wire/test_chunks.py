"""A body as chunks, whichever transport gave it."""

import zlib
from collections.abc import AsyncIterator

import httpx2
import pytest

from app.upstream.wire.chunks import Chunk, chunks_of

BODY = b"an image " * 100_000


class Stream(httpx2.AsyncByteStream):
    """As stock HTTPX gives a body."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece

    async def aclose(self) -> None:
        self.is_closed = True


class InPlace:
    """As our own transport gives one."""

    async def read(self) -> Chunk | None:
        return None

    async def aclose(self) -> None:
        pass


async def all_of(stream: object, encoding: str = "") -> bytes:
    chunks, read = chunks_of(stream, encoding), b""
    while (chunk := await chunks.read()) is not None:
        read += chunk.view
    return read


async def test_a_stream_is_read_to_its_end_and_closed() -> None:
    stream = Stream(b"an ", b"", b"image")
    assert await all_of(stream) == b"an image"
    assert stream.is_closed


async def test_what_gives_chunks_itself_is_used_as_it_is() -> None:
    chunks = InPlace()
    assert chunks_of(chunks, "identity") is chunks


@pytest.mark.parametrize("encoding", ["gzip", " Deflate "])
async def test_compression_is_undone(encoding: str) -> None:
    packed = zlib.compress(BODY)
    assert await all_of(Stream(packed[:7], packed[7:]), encoding) == BODY


@pytest.mark.parametrize("packed", [zlib.compress(BODY)[:-1], b"no zlib", zlib.compress(BODY) + b"more"])
async def test_what_cannot_be_inflated_is_a_broken_answer(packed: bytes) -> None:
    with pytest.raises(httpx2.ReadError):
        await all_of(Stream(packed), "deflate")


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        chunks_of(Stream(), "br")
