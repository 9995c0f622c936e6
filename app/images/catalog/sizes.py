"""Which sizes a model can make: how a size is written, what is wrong with one, which valid one is nearest. Pure."""

import re
from dataclasses import dataclass
from functools import lru_cache

BELOW_MINIMUM = "Requested resolution is below the current minimum pixel budget."

_WRITTEN = re.compile(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})")
_LENGTH_MAX = 13  # of the longest text that is a size; longer texts are not cached


def parse_size(text: str) -> tuple[int, int] | None:
    """(width, height) in pixels of a size written WIDTHxHEIGHT, or None when it is not written so."""
    return _parse_size(text) if len(text) <= _LENGTH_MAX else None


@lru_cache(maxsize=512)
def _parse_size(text: str) -> tuple[int, int] | None:
    written = _WRITTEN.fullmatch(text)
    return (int(written[1]), int(written[2])) if written else None


@dataclass(frozen=True, slots=True)
class SizeBounds:
    """Any size within bounds, in pixels. `ratio_max` is the longest edge divided by the shortest.

    `auto_pixels_max` is the largest image that size `auto` is held for. It bounds tokens, not requests.
    """

    multiple_of: int
    edge_max: int
    ratio_max: int
    pixels_min: int
    pixels_max: int
    auto_pixels_max: int

    def fault(self, width: int, height: int) -> str | None:
        """The first rule that the size breaks, as a sentence for the caller, or None."""
        if width % self.multiple_of or height % self.multiple_of:
            return f"Width and height must both be divisible by {self.multiple_of}."
        short, long = (width, height) if width < height else (height, width)
        if long > self.edge_max:
            return f"The longest edge must not be above {self.edge_max} pixels."
        if long > short * self.ratio_max:
            return f"The longest edge must not be above {self.ratio_max} times the shortest."
        if width * height < self.pixels_min:
            return BELOW_MINIMUM
        if width * height > self.pixels_max:
            return "Requested resolution is above the current maximum pixel budget."
        return None

    def nearest(self, width: int, height: int) -> tuple[int, int] | None:
        """The valid size whose edges differ least from the given ones (least squares). Of equals, the larger.

        None if no size is valid at all.
        """
        step, sizes = self.multiple_of, list[tuple[int, int]]()
        below = height // step * step
        for candidate in range(step, self.edge_max + 1, step):
            # The valid heights for this width are one range of multiples: clamp both neighbours to it.
            low = max(-(-self.pixels_min // candidate), -(-candidate // self.ratio_max))
            high = min(self.pixels_max // candidate, candidate * self.ratio_max, self.edge_max)
            lowest, highest = -(-low // step) * step, high // step * step
            if lowest <= highest:
                sizes += [(candidate, min(max(edge, lowest), highest)) for edge in (below, below + step)]

        def difference(size: tuple[int, int]) -> tuple[int, int]:
            return (size[0] - width) ** 2 + (size[1] - height) ** 2, -size[0] * size[1]

        return min(sizes, key=difference, default=None)


@dataclass(frozen=True, slots=True)
class SizeList:
    """Only these sizes, each written WIDTHxHEIGHT."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnySize:
    """Whatever the model says: the gateway does not know its sizes."""


SizeRule = SizeBounds | SizeList | AnySize
