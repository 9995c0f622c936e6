"""Rules of the images of an edit, for every model."""

from typing import Any

import pytest

from app.errors import InvalidRequest
from app.images.catalog.catalog import load_catalog
from app.images.request.image_head import ImageHead
from app.images.request.inputs import (
    IMAGE,
    IMAGE_BYTES_MAX,
    MASK,
    MASK_BYTES_MAX,
    InputRole,
    Inputs,
    check_count,
    check_inputs,
    check_size,
    check_start,
)

CATALOG = load_catalog()
PNG = ImageHead("png", 64, 32, has_alpha=False)
OVERLAY = ImageHead("png", 64, 32, has_alpha=True)
PHOTO = ImageHead("jpeg", 32, 64, has_alpha=False)


def refused(model: str, *images: ImageHead | None, **overlays: Any) -> tuple[str | None, str | None] | None:
    spec = CATALOG.find(model)
    assert spec is not None
    try:
        check_inputs(Inputs(images, **overlays), spec)
    except InvalidRequest as error:
        return error.param, error.code
    return None


def test_what_fits_is_taken() -> None:
    assert refused("gpt-image-2", PNG) is None
    assert refused("gpt-image-2", PNG, PHOTO, mask=OVERLAY) is None
    assert refused("gpt-image-2", PHOTO, mask=OVERLAY) is None  # it may lie on its side
    assert refused("gpt-image-2", None, mask=OVERLAY) is None  # behind a URL: nobody knows
    assert refused("gpt-image-2.5-flare", PNG, markup=OVERLAY) is None


def test_what_does_not_fit_is_refused() -> None:
    assert refused("gpt-image-2") == ("image", "missing_required_parameter")
    assert refused("gpt-image-2", *[PNG] * 17) == ("image", "array_above_max_length")
    assert refused("gpt-image-2", PNG, mask=PNG) == ("mask", "invalid_image_file")
    assert refused("gpt-image-2", PNG, mask=OVERLAY._replace(width=32)) == ("mask", "invalid_value")
    assert refused("gpt-image-2", PNG, mask=OVERLAY._replace(width=32, height=64)) == ("mask", "invalid_value")
    assert refused("gpt-image-2", PNG, markup=OVERLAY) == ("markup", "unknown_parameter")
    assert refused("gpt-image-2.5-flare", PNG, mask=OVERLAY, markup=OVERLAY) == ("markup", "invalid_value")


@pytest.mark.parametrize(
    ("kind", "start", "says"),
    [
        (IMAGE, b"GIF89a000000", "image 3"),
        (MASK, b"\xff\xd8\xff000000000", "must be a PNG file, not jpeg"),
    ],
)
def test_bytes_decide(kind: str, start: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        check_start(InputRole(kind, 3), start)


def test_sizes_and_numbers_are_bounded() -> None:
    check_size(InputRole(IMAGE), IMAGE_BYTES_MAX)
    check_size(InputRole(MASK), MASK_BYTES_MAX)
    check_count(16)
    with pytest.raises(InvalidRequest, match="smaller than 50 MB"):
        check_size(InputRole(IMAGE), 50_000_000)
    with pytest.raises(InvalidRequest, match="smaller than 4 MB"):
        check_size(InputRole(MASK), 4_000_000)
    with pytest.raises(InvalidRequest, match="maximum length 16"):
        check_count(17)
