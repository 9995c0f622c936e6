"""What an image file says of itself at its head: format, width, height, alpha. Pure; decodes no pixel.

A library would read a WebP whole and make room for all its pixels to say as much.
"""

from collections.abc import Callable
from typing import NamedTuple

PIXELS_MAX = 178_956_970  # what Pillow refuses as a decompression bomb
SNIFFED_BYTES = 12

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_PNG_CHUNKS_MAX = 256  # before the pixels
_JPEG_SEGMENTS_MAX = 1024
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers that tell an image's size
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # the markers without a length
ReadAt = Callable[[int, int], bytes]


class ImageHead(NamedTuple):
    """`format` is png, jpeg or webp. `has_alpha`: its pixels may be transparent."""

    format: str
    width: int
    height: int
    has_alpha: bool


def sniff(start: bytes) -> str | None:
    """The format of a file that begins so (SNIFFED_BYTES of it); None for any other."""
    if start.startswith(_PNG):
        return "png"
    if start.startswith(_JPEG):
        return "jpeg"
    return "webp" if start[:4] == b"RIFF" and start[8:12] == b"WEBP" else None


def read_head(read_at: ReadAt, size: int) -> ImageHead | None:
    """The head of the file of `size` bytes that `read_at(offset, count)` reads; None where it is no image."""
    kind = sniff(read_at(0, SNIFFED_BYTES))
    reader = {"png": _png, "jpeg": _jpeg, "webp": _webp}.get(kind or "")
    head = None if reader is None else reader(read_at, size)
    return head if head is not None and 0 < head.width * head.height <= PIXELS_MAX else None


def _png(read_at: ReadAt, size: int) -> ImageHead | None:
    head = read_at(0, 33)
    if len(head) < 33 or head[12:16] != b"IHDR":
        return None
    width, height, colour = _big(head[16:20]), _big(head[20:24]), head[25]
    return ImageHead("png", width, height, colour in (4, 6) or _png_has_transparent_colour(read_at, size))


def _png_has_transparent_colour(read_at: ReadAt, size: int) -> bool:
    at = 33
    for _ in range(_PNG_CHUNKS_MAX):
        chunk = read_at(at, 8)
        if at >= size or chunk[4:] in (b"IDAT", b"IEND", b""):
            return False
        if chunk[4:] == b"tRNS":
            return True
        at += 12 + _big(chunk[:4])
    return False


def _jpeg(read_at: ReadAt, size: int) -> ImageHead | None:
    at = 2
    for _ in range(_JPEG_SEGMENTS_MAX):
        segment = read_at(at, 9)
        if at >= size or len(segment) < 4 or segment[0] != 0xFF:
            return None
        marker = segment[1]
        if marker in _FRAMES:
            return ImageHead("jpeg", _big(segment[7:9]), _big(segment[5:7]), has_alpha=False)
        if marker == 0xFF:  # filling
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker == 0xDA:  # pixels follow, and nothing has told their size
            return None
        else:
            at += 2 + _big(segment[2:4])
    return None


def _webp(read_at: ReadAt, _: int) -> ImageHead | None:
    head = read_at(0, 30)
    if len(head) < 30:
        return None
    kind = head[12:16]
    if kind == b"VP8X":
        return ImageHead("webp", 1 + _little(head[24:27]), 1 + _little(head[27:30]), bool(head[20] & 0x10))
    if kind == b"VP8L" and head[20] == 0x2F:
        bits = _little(head[21:25])
        return ImageHead("webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), bool(bits >> 28 & 1))
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        return ImageHead("webp", _little(head[26:28]) & 0x3FFF, _little(head[28:30]) & 0x3FFF, has_alpha=False)
    return None


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
