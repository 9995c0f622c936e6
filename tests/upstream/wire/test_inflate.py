"""Undoing compression: the same bytes however they are cut, in bounded pieces, and nothing that is not whole."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.upstream.wire.inflate import Inflater


def inflated(chunks: list[bytes]) -> bytes:
    inflating = Inflater()
    got = b"".join(piece for chunk in chunks for piece in inflating.feed(chunk))
    inflating.end()
    return got


@given(st.binary(max_size=2000), st.integers(1, 50), st.booleans())
def test_undoes_gzip_and_deflate_however_they_are_cut(data: bytes, step: int, zlibs: bool) -> None:
    packed = zlib.compress(data) if zlibs else gzip.compress(data)
    assert inflated([packed[at : at + step] for at in range(0, len(packed), step)]) == data


def test_what_was_packed_far_comes_in_bounded_pieces() -> None:
    packed = gzip.compress(bytes(50_000_000))
    inflating = Inflater()
    sizes = [len(piece) for piece in inflating.feed(packed)]
    inflating.end()
    assert sum(sizes) == 50_000_000
    assert max(sizes) <= 262_144


@pytest.mark.parametrize(
    "packed",
    [b"12345", gzip.compress(b"abc") + b"more", gzip.compress(b"a") * 2],
    ids=["no beginning", "more after the end", "two"],  # gzip writes the time: no name for a test
)
def test_what_is_not_one_compressed_body_is_refused(packed: bytes) -> None:
    with pytest.raises(zlib.error):
        inflated([packed])
    with pytest.raises(zlib.error):
        inflated([packed[at : at + 1] for at in range(len(packed))])


@pytest.mark.parametrize("length", range(0, 20, 3))
def test_a_cut_body_is_not_whole(length: int) -> None:
    with pytest.raises(zlib.error):
        inflated([gzip.compress(b"abc")[:length]])
