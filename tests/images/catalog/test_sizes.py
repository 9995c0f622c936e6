"""Size rules: how a size is written, the first rule it breaks, the nearest valid one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.images.catalog.catalog import load_catalog
from app.images.catalog.sizes import BELOW_MINIMUM, SizeBounds, parse_size

GPT_IMAGE_2 = SizeBounds(
    multiple_of=16,
    edge_max=3840,
    ratio_max=3,
    pixels_min=655_360,
    pixels_max=8_294_400,
    auto_pixels_max=8_294_400,
)


def valid_sizes(bounds: SizeBounds) -> list[tuple[int, int]]:
    """Every valid size, found by asking about each one."""
    edges = range(bounds.multiple_of, bounds.edge_max + 1, bounds.multiple_of)
    return [(width, height) for width in edges for height in edges if bounds.fault(width, height) is None]


VALID_SIZES = valid_sizes(GPT_IMAGE_2)


def test_the_catalog_has_the_published_bounds() -> None:
    spec = load_catalog().find("gpt-image-2")
    assert spec is not None
    assert spec.sizes == GPT_IMAGE_2


def test_there_are_as_many_valid_sizes_as_were_counted() -> None:
    assert len(VALID_SIZES) == 29_146


@pytest.mark.parametrize(
    ("text", "pixels"),
    [
        ("1024x1024", (1024, 1024)),
        ("1x999999", (1, 999_999)),
        ("auto", None),
        ("bogus", None),
        ("", None),
        ("1024", None),
        ("1024x", None),
        ("1024X1024", None),
        ("1024×1024", None),
        (" 1024x1024", None),
        ("1024x1024\n", None),
        ("0x0", None),
        ("01024x1024", None),
        ("-1024x1024", None),
        ("1024.0x1024", None),
        ("1e3x1024", None),
        ("١٠٢٤x1024", None),
        ("1024x1024x1024", None),
        ("1000000x16", None),
        (f"{'9' * 5000}x16", None),
    ],
)
def test_a_size_is_read_as_written_or_not_at_all(text: str, pixels: tuple[int, int] | None) -> None:
    assert parse_size(text) == pixels


@pytest.mark.parametrize(
    "size",
    ["1024x1024", "1536x1024", "1792x1024", "1280x720", "1920x1088", "896x896", "2560x1440", "3840x2160", "2160x3840",
     "2880x2880", "3840x1280", "1408x480", "704x960", "784x848"],
)  # fmt: skip
def test_sizes_that_are_accepted(size: str) -> None:
    assert GPT_IMAGE_2.fault(*(parse_size(size) or (0, 0))) is None


@pytest.mark.parametrize(
    ("size", "fault", "nearest"),
    [
        ("9x9", "Width and height must both be divisible by 16.", "816x816"),
        ("1920x1080", "Width and height must both be divisible by 16.", "1920x1088"),
        ("1080x1920", "Width and height must both be divisible by 16.", "1088x1920"),
        ("1000x1000", "Width and height must both be divisible by 16.", "1008x1008"),
        ("1025x1024", "Width and height must both be divisible by 16.", "1024x1024"),
        ("256x256", BELOW_MINIMUM, "816x816"),
        ("768x768", BELOW_MINIMUM, "816x816"),
        ("640x480", BELOW_MINIMUM, "896x736"),
        ("3856x2160", "The longest edge must not be above 3840 pixels.", "3840x2160"),
        ("4096x4096", "The longest edge must not be above 3840 pixels.", "2880x2880"),
        ("4096x1024", "The longest edge must not be above 3840 pixels.", "3840x1280"),
        ("3200x1024", "The longest edge must not be above 3 times the shortest.", "3168x1056"),
        ("1024x3200", "The longest edge must not be above 3 times the shortest.", "1056x3168"),
        ("3840x3840", "Requested resolution is above the current maximum pixel budget.", "2880x2880"),
        ("3840x2176", "Requested resolution is above the current maximum pixel budget.", "3840x2160"),
        ("2880x2896", "Requested resolution is above the current maximum pixel budget.", "2880x2880"),
    ],
)
def test_sizes_that_are_refused_with_the_nearest_valid_one(size: str, fault: str, nearest: str) -> None:
    edges = parse_size(size)
    assert edges is not None
    assert GPT_IMAGE_2.fault(*edges) == fault
    width, height = GPT_IMAGE_2.nearest(*edges) or (0, 0)
    assert f"{width}x{height}" == nearest


def test_a_valid_size_is_its_own_nearest() -> None:
    for size in VALID_SIZES[::97]:
        assert GPT_IMAGE_2.nearest(*size) == size


@settings(max_examples=25)
@given(st.integers(1, 999_999), st.integers(1, 999_999))
def test_no_valid_size_is_nearer_than_the_nearest(width: int, height: int) -> None:
    def difference(size: tuple[int, int]) -> int:
        return (size[0] - width) ** 2 + (size[1] - height) ** 2

    nearest = GPT_IMAGE_2.nearest(width, height)
    assert nearest is not None
    assert GPT_IMAGE_2.fault(*nearest) is None
    assert difference(nearest) == min(difference(size) for size in VALID_SIZES)


def test_bounds_without_any_size_have_no_nearest() -> None:
    bounds = SizeBounds(
        multiple_of=16, edge_max=16, ratio_max=1, pixels_min=1000, pixels_max=1000, auto_pixels_max=1000
    )
    assert bounds.nearest(16, 16) is None
