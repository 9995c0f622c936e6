"""What a provider reports it used, and what a scanner learns from a passing answer. Pure values."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

_COUNT_MAX = 10**12  # what a larger count is read as: nonsense too, and no number that anything chokes on
_NUMBER = re.compile(r" *[0-9]{1,400}(?:\.[0-9]{1,400})? *")
# The same two numbers, as OpenAI's Images and as its older APIs name them.
_INPUT, _OUTPUT = ("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")


@dataclass(slots=True)  # not frozen: that takes three times as long to make, and every request makes some
class Usage:
    """Tokens of one answer, by direction and modality. All counts are ≥ 0. Never changed once it is made."""

    input_text_tokens: int = 0
    input_image_tokens: int = 0
    output_text_tokens: int = 0
    output_image_tokens: int = 0

    @property
    def input_tokens(self) -> int:
        return self.input_text_tokens + self.input_image_tokens

    @property
    def output_tokens(self) -> int:
        return self.output_text_tokens + self.output_image_tokens

    @property
    def total_tokens(self) -> int:
        return self.input_text_tokens + self.input_image_tokens + self.output_text_tokens + self.output_image_tokens


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure told inside an answer, in OpenAI's words; None where the provider gave none."""

    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None


class Reading(NamedTuple):
    """What a scanner read out of a whole answer. `complete`: it ended where an answer of its kind must end.

    `size` and `quality` are the answer's own words for them; `remark` is what an answer without an image says instead.
    """

    complete: bool
    image_count: int
    usage: Usage | None
    failure: Failure | None = None
    size: str | None = None
    quality: str | None = None
    remark: str | None = None

    @property
    def delivers(self) -> bool:
        """Whether the whole answer came, with an image, and tells of no failure."""
        return self.complete and self.image_count > 0 and self.failure is None


def parse_usage(reported: object, *, images_sent: bool = False) -> Usage | None:
    """The provider's `usage` object as a Usage, or None when it is absent or makes no sense.

    What is not itemised falls to what it can only be, or else to the dearer kind: output to images (Images answers
    often carry no `output_tokens_details`, streams never have to), input to text, unless the request sent images in
    (`images_sent`). An itemised zero is a value, not an absence. Parts that exceed their total are cut to it, the
    text first. Every spelling of a count that has one meaning is read; a fraction is rounded up.
    """
    if not isinstance(reported, dict):
        return None
    input_tokens, output_tokens, total = (_first(reported, names) for names in (_INPUT, _OUTPUT, ("total_tokens",)))
    if total is not None and output_tokens is not None and input_tokens is None:
        input_tokens = max(0, total - output_tokens)
    elif total is not None and input_tokens is not None and output_tokens is None:
        output_tokens = max(0, total - input_tokens)
    if input_tokens is None or output_tokens is None:
        return None
    input_text, input_image = _parts(reported.get("input_tokens_details"), input_tokens, rest_is_image=images_sent)
    output_text, output_image = _parts(reported.get("output_tokens_details"), output_tokens, rest_is_image=True)
    return Usage(input_text, input_image, output_text, output_image)


def _parts(details: object, total: int, *, rest_is_image: bool) -> tuple[int, int]:
    """(text, image) tokens: as itemised, and the rest of the total to one of them."""
    itemised = details if isinstance(details, dict) else {}
    image = min(_count(itemised.get("image_tokens")) or 0, total)
    text = min(_count(itemised.get("text_tokens")) or 0, total - image)
    return (text, total - text) if rest_is_image else (total - image, image)


def _first(reported: Mapping[str, object], names: tuple[str, ...]) -> int | None:
    return next((count for name in names if (count := _count(reported.get(name))) is not None), None)


def _count(value: object) -> int | None:
    """A whole number, as 207, 207.0 or "207", or the next one above 206.92. True is no count."""
    if type(value) is int:
        return min(value, _COUNT_MAX) if value >= 0 else None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, float) and value >= 0:
        return math.ceil(min(value, _COUNT_MAX))
    return None
