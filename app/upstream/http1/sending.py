"""A request's body as it is sent: with a known length, or in chunks. Keeps nothing of a stream.

For every stream, a body is never longer or shorter than its head says.
"""

from collections.abc import AsyncGenerator, AsyncIterable

import httpx2


async def of_length(stream: AsyncIterable[bytes], length: int) -> AsyncGenerator[bytes]:
    """The stream's pieces. Raises LocalProtocolError before it yields a byte too many, or at the end of too few; and
    whatever the stream raises. Closes the stream if it can be closed.
    """
    missing, pieces = length, aiter(stream)
    try:
        async for piece in pieces:
            missing -= len(piece)
            if missing < 0:
                raise httpx2.LocalProtocolError("The body is longer than was announced.")
            yield piece
    finally:
        await _close(pieces)
    if missing:
        raise httpx2.LocalProtocolError("The body is shorter than was announced.")


async def in_chunks(stream: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    """The stream in HTTP/1.1's chunked coding. Raises whatever the stream raises. Closes it if it can be closed."""
    pieces = aiter(stream)
    try:
        async for piece in pieces:
            if piece:  # an empty chunk would end the body
                yield b"%x\r\n%b\r\n" % (len(piece), piece)
    finally:
        await _close(pieces)
    yield b"0\r\n\r\n"


async def _close(pieces: object) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()
