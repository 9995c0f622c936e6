"""Padding inside image files: where PNG, JPEG and WebP allow bytes that no reader draws. A padded image is a valid file
of its format. Pure.
"""

import itertools
from typing import Final

from app.sandbox.images.runs import Run, fixed, joined, noise, with_crc

PADDING_BYTES_MIN: Final = 64  # room for the frames around the filling, in every format

_PNG_END_BYTES: Final = 12  # the IEND chunk: length, name, no data, CRC
_PNG_CHUNK_FRAME_BYTES: Final = 12
_PNG_CHUNK_NAME: Final = b"saNd"  # by the letters' case: ancillary, private, safe to copy
_JPEG_SEGMENT_BYTES_MAX: Final = 65_535 + 2  # a segment's two length bytes count themselves, not its marker
_WEBP_CHUNK_HEAD_BYTES: Final = 8
_WEBP_ALPHA: Final = 0x10


def padded(image: bytes, image_format: str, padding_bytes: int, seed: int) -> Run:
    """The image, longer by `padding_bytes` or at most three less; unchanged if that is under PADDING_BYTES_MIN."""
    if padding_bytes < PADDING_BYTES_MIN:
        return fixed(image)
    return {"png": _png, "jpeg": _jpeg, "webp": _webp}[image_format](image, padding_bytes, seed)


def _png(image: bytes, padding_bytes: int, seed: int) -> Run:
    filling = padding_bytes - _PNG_CHUNK_FRAME_BYTES
    chunk = joined(
        (fixed(filling.to_bytes(4, "big")), with_crc(joined((fixed(_PNG_CHUNK_NAME), noise(filling, seed)))))
    )
    # The CRC covers the chunk's name and data but not its length, hence the nesting.
    return joined((fixed(image[:-_PNG_END_BYTES]), chunk, fixed(image[-_PNG_END_BYTES:])))


def _jpeg(image: bytes, padding_bytes: int, seed: int) -> Run:
    """Comment segments after the JFIF header, which must stay first."""
    first = 4 + int.from_bytes(image[4:6], "big")
    runs = [fixed(image[:first])]
    left = padding_bytes
    for number in itertools.count():
        size = min(left, _JPEG_SEGMENT_BYTES_MAX)
        if size < 4:
            break
        runs += [fixed(b"\xff\xfe" + (size - 2).to_bytes(2, "big")), noise(size - 4, seed + number)]
        left -= size
    return joined((*runs, fixed(image[first:])))


def _webp(image: bytes, padding_bytes: int, seed: int) -> Run:
    """An unknown chunk at the end. The format allows it in extended files only, so a simple one gets the extension."""
    body = image[12:]
    if body[:4] != b"VP8X":
        body = _webp_extension(body) + body
    filling = (padding_bytes - _WEBP_CHUNK_HEAD_BYTES - (len(body) + 12 - len(image))) // 2 * 2
    chunk_head = b"saNd" + filling.to_bytes(4, "little")
    riff_size = 4 + len(body) + len(chunk_head) + filling
    head = b"RIFF" + riff_size.to_bytes(4, "little") + b"WEBP"
    return joined((fixed(head + body + chunk_head), noise(filling, seed)))


def _webp_extension(body: bytes) -> bytes:
    """The VP8X chunk, which repeats what a simple file's bit stream says: its size, and whether it has alpha."""
    if body[:4] == b"VP8L":
        bits = int.from_bytes(body[9:13], "little")
        width, height, flags = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, _WEBP_ALPHA * (bits >> 28 & 1)
    else:
        width = int.from_bytes(body[14:16], "little") & 0x3FFF
        height = int.from_bytes(body[16:18], "little") & 0x3FFF
        flags = 0
    return (
        b"VP8X"
        + (10).to_bytes(4, "little")
        + bytes((flags, 0, 0, 0))
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )
