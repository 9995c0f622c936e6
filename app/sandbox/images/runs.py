"""Bodies of answers as runs of bytes with a known length, made on demand, so that a long answer is never held as a
whole. Sends nothing.
"""

import base64
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

CHUNK_BYTES: Final = 65_536
_NOISE_STEP_BYTES: Final = 49_152  # a multiple of 3, so that whole steps of noise make whole chunks of base64


@dataclass(frozen=True, slots=True)
class Run:
    """`length` bytes, made again by each call of `chunks`."""

    length: int
    chunks: Callable[[], Iterator[bytes]]


def fixed(data: bytes) -> Run:
    """A run of existing bytes."""
    return Run(len(data), lambda: iter((data,)) if data else iter(()))


def noise(length: int, seed: int) -> Run:
    """`length` bytes that do not compress, the same for the same seed."""

    def chunks() -> Iterator[bytes]:
        source = random.Random(seed)  # noqa: S311 - filling, not a secret
        for start in range(0, length, _NOISE_STEP_BYTES):
            yield source.randbytes(min(_NOISE_STEP_BYTES, length - start))

    return Run(length, chunks)


def joined(runs: Sequence[Run]) -> Run:
    """Several runs, one after another."""

    def chunks() -> Iterator[bytes]:
        for run in runs:
            yield from run.chunks()

    return Run(sum(run.length for run in runs), chunks)


def with_crc(run: Run) -> Run:
    """A run followed by its CRC-32 as PNG writes it: four bytes, most significant first."""

    def chunks() -> Iterator[bytes]:
        crc = 0
        for chunk in run.chunks():
            crc = zlib.crc32(chunk, crc)
            yield chunk
        yield crc.to_bytes(4, "big")

    return Run(run.length + 4, chunks)


def base64_run(run: Run) -> Run:
    """A run in base64, without line breaks."""

    def chunks() -> Iterator[bytes]:
        left = b""
        for chunk in run.chunks():
            data = left + chunk
            whole = len(data) - len(data) % 3
            left = data[whole:]
            for start in range(0, whole, _NOISE_STEP_BYTES):
                yield base64.b64encode(data[start : min(start + _NOISE_STEP_BYTES, whole)])
        if left:
            yield base64.b64encode(left)

    return Run(base64_length(run.length), chunks)


def base64_length(length: int) -> int:
    """The length of `length` bytes in base64."""
    return 4 * ((length + 2) // 3)


def run_chunks(run: Run, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The bytes of a run in chunks of `chunk_bytes`, the last one shorter."""
    buffer = bytearray()
    for chunk in run.chunks():
        buffer += chunk
        while len(buffer) >= chunk_bytes:
            yield bytes(buffer[:chunk_bytes])
            del buffer[:chunk_bytes]
    if buffer:
        yield bytes(buffer)
