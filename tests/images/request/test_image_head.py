"""What a file's head says is what Pillow says, and nothing in it makes the reader wander."""

import io
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.images.request.image_head import PIXELS_MAX, ImageHead, read_head, sniff


def head_of(data: bytes) -> ImageHead | None:
    return read_head(lambda offset, size: data[offset : offset + size], len(data))


@pytest.mark.parametrize("size", [(1, 1), (341, 512), (1024, 7)])
@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "LA", {}),
        ("PNG", "P", {}),
        ("PNG", "P", {"transparency": 0}),
        ("JPEG", "RGB", {}),
        ("JPEG", "L", {"progressive": True}),
        ("JPEG", "RGB", {"exif": b"Exif\x00\x00" + b"x" * 60_000, "icc_profile": b"p" * 200_000}),
        ("WEBP", "RGB", {}),
        ("WEBP", "RGBA", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("WEBP", "RGB", {"icc_profile": b"p" * 1000}),
    ],
)
def test_it_reads_as_pillow_reads(size: tuple[int, int], kind: str, mode: str, options: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind, **options)
    data = buffer.getvalue()
    with Image.open(io.BytesIO(data)) as image:
        has_alpha = image.mode in ("RGBA", "LA") or "transparency" in image.info
    head = head_of(data)
    assert head is not None
    assert (head.format, head.width, head.height) == (kind.lower(), *size)
    assert head.has_alpha or not has_alpha  # a lossless WebP may promise alpha that it does not use
    assert has_alpha or kind == "WEBP" or not head.has_alpha


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_cut_file_is_none_or_the_same(kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, kind)
    data = buffer.getvalue()
    for end in range(min(len(data), 400)):
        assert head_of(data[:end]) in (None, ImageHead(kind.lower(), 40, 30, has_alpha=False))


def test_a_bomb_is_no_image() -> None:
    def png(width: int, height: int) -> bytes:
        return (
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\0\0\0" + bytes(40)
        )

    assert head_of(png(PIXELS_MAX, 1)) is not None
    assert head_of(png(PIXELS_MAX + 1, 1)) is None
    assert head_of(png(0, 5)) is None


def test_a_jpeg_of_nothing_but_segments_ends() -> None:
    reads = []

    def read_at(offset: int, size: int) -> bytes:
        reads.append(offset)
        return (b"\xff\xd8\xff\xe0" + b"\xff\xe0\x00\x02" * 10)[offset % 4 :][:size]

    assert read_head(read_at, 50_000_000) is None
    assert len(reads) < 1100


@given(st.binary(max_size=80), st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF1234WEBP", b""]))
def test_no_bytes_make_it_fail(data: bytes, start: bytes) -> None:
    head = head_of(start + data)
    assert head is None or head.width * head.height > 0


def test_others_are_none() -> None:
    assert [sniff(start) for start in (b"GIF89a000000", b"RIFF1234WAVE", b"", b"\x89PNG")] == [None] * 4
