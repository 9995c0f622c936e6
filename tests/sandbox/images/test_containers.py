"""Padded images are images."""

import io
from typing import Any

import pytest
from PIL import Image

from app.sandbox.images.containers import PADDING_BYTES_MIN, padded
from tests.sandbox.support import opened


def written(mode: str, image_format: str, **options: Any) -> bytes:
    image = Image.effect_noise((320, 208), 80).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("mode", "image_format", "options"),
    [
        ("RGB", "png", {}), ("RGBA", "png", {}), ("RGB", "jpeg", {"quality": 80}), ("RGB", "webp", {"quality": 70}),
        ("RGB", "webp", {"lossless": True}), ("RGBA", "webp", {"quality": 70}), ("RGBA", "webp", {"lossless": True}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("padding", [PADDING_BYTES_MIN, 65_537, 65_540, 300_001])
def test_padding_changes_the_length_and_no_pixel(mode: str, image_format: str, options: Any, padding: int) -> None:
    plain = written(mode, image_format, **options)
    run = padded(plain, image_format, padding, seed=1)
    data = b"".join(run.chunks())
    assert len(data) == run.length
    assert padding - 3 <= len(data) - len(plain) <= padding
    image = opened(data)
    assert (image.format, image.mode) == (image_format.upper(), mode)
    assert image.tobytes() == opened(plain).tobytes()
    Image.open(io.BytesIO(data)).verify()  # checks PNG's checksums, those of chunks that are not drawn included


def test_a_file_that_needs_no_padding_is_left_alone() -> None:
    plain = written("RGB", "png")
    assert b"".join(padded(plain, "png", PADDING_BYTES_MIN - 1, seed=1).chunks()) == plain


def test_webp_says_how_long_it_is() -> None:
    data = b"".join(padded(written("RGB", "webp"), "webp", 1000, seed=1).chunks())
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
