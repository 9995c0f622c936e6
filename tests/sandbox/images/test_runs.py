"""Runs of bytes of known length, made piece by piece."""

import base64
import tracemalloc
import zlib
from itertools import pairwise

import pytest

from app.sandbox.images.runs import (
    CHUNK_BYTES,
    Run,
    base64_length,
    base64_run,
    fixed,
    joined,
    noise,
    run_chunks,
    with_crc,
)


def whole(run: Run) -> bytes:
    data = b"".join(run.chunks())
    assert len(data) == run.length
    return data


@pytest.mark.parametrize("length", [0, 1, 2, 3, 49_151, 49_152, 49_153, 200_000])
def test_base64_is_that_of_the_whole(length: int) -> None:
    run = joined((fixed(b"ab"), noise(length, 7), fixed(b"c")))
    assert whole(base64_run(run)) == base64.b64encode(whole(run))
    assert base64_length(run.length) == len(base64.b64encode(whole(run)))


def test_noise_does_not_compress_and_comes_again() -> None:
    data = whole(noise(300_000, 1))
    assert len(zlib.compress(data, 9)) > 0.99 * len(data)
    assert data == whole(noise(300_000, 1)) != whole(noise(300_000, 2))


def test_a_checksum_follows_its_run() -> None:
    assert whole(with_crc(fixed(b"IEND"))) == b"IEND\xae\x42\x60\x82"  # the end of every PNG


@pytest.mark.parametrize("size", [1, 1000, CHUNK_BYTES])
def test_chunks_are_of_one_size_but_the_last(size: int) -> None:
    run = joined((fixed(b"x" * 70_001), noise(5000, 1)))
    chunks = list(run_chunks(run, size))
    assert b"".join(chunks) == whole(run)
    assert all(len(before) == size >= len(after) > 0 for before, after in pairwise(chunks))


def test_a_long_body_is_never_there_as_a_whole() -> None:
    run = base64_run(noise(22_500_000, 1))
    tracemalloc.start()
    try:
        total = sum(len(chunk) for chunk in run_chunks(run))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 30_000_000
    assert peak < 2_000_000
