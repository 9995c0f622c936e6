"""A request's body as it is sent: never longer or shorter than its head says."""

from collections.abc import AsyncGenerator

import httpx2
import pytest

from app.upstream.http1.sending import in_chunks, of_length


class Source:
    """Gives the pieces, and knows whether it was closed."""

    def __init__(self, *pieces: bytes) -> None:
        self.is_closed = False
        self._pieces = pieces

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        try:
            for piece in self._pieces:
                yield piece
        finally:
            self.is_closed = True


async def test_a_body_of_the_announced_length_goes_out_as_it_is() -> None:
    assert [piece async for piece in of_length(Source(b"an ", b"image"), 8)] == [b"an ", b"image"]


@pytest.mark.parametrize(("length", "sent"), [(7, [b"an "]), (9, [b"an ", b"image"])])
async def test_any_other_length_is_refused_and_no_byte_too_many_sent(length: int, sent: list[bytes]) -> None:
    source, seen = Source(b"an ", b"image"), list[bytes]()
    with pytest.raises(httpx2.LocalProtocolError):  # noqa: PT012 - what was sent before counts
        async for piece in of_length(source, length):
            seen.append(piece)
    assert seen == sent
    assert source.is_closed


async def test_chunks_end_with_the_empty_one_and_hold_none_before() -> None:
    source = Source(b"an ", b"", b"image")
    assert b"".join([piece async for piece in in_chunks(source)]) == b"3\r\nan \r\n5\r\nimage\r\n0\r\n\r\n"
    assert source.is_closed
