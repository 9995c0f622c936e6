"""What a provider reports as used, and what a scanner learns from a passing answer. Pure values."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

_COUNT_MAX = 10**12  # larger counts are read as this: nonsense as well, but a number that every sum can hold
_NUMBER = re.compile(r" *[0-9]{1,400}(?:\.[0-9]{1,400})? *")
# The same two numbers, by the names of OpenAI's Images API and of its older APIs.
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
    """A failure reported inside an answer, in OpenAI's words. None for what the provider did not give."""

    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None


class AnswerSummary(NamedTuple):
    """What a scanner read from an answer. `complete`: it ended where an answer of its kind must end.

    `size` and `quality` are the answer's own words. `remark` is the text of an answer that has no image.
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
        """Whether the whole answer came, with an image and without a failure."""
        return self.complete and self.image_count > 0 and self.failure is None


def parse_usage(reported: object, *, images_sent: bool = False) -> Usage | None:
    """The provider's `usage` object as a Usage. None if it is absent or makes no sense.

    What is not itemised counts as the only possible kind, or else as the dearer one. Output counts as images: Images
    answers often have no `output_tokens_details`, and streams need none. Input counts as text, unless the request sent
    images (`images_sent`). An itemised zero is a value. Parts that exceed their total are cut, text first. Every
    spelling of a count with one meaning is read; fractions are rounded up.
    """
    if not isinstance(reported, dict):
        return None
    input_tokens, output_tokens = _first(reported, _INPUT), _first(reported, _OUTPUT)
    total = _count(reported.get("total_tokens"))
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
    """(text, image) tokens: the itemised ones; the rest of the total goes to one of them."""
    itemised = details if isinstance(details, dict) else {}
    image = min(_count(itemised.get("image_tokens")) or 0, total)
    text = min(_count(itemised.get("text_tokens")) or 0, total - image)
    return (text, total - text) if rest_is_image else (total - image, image)


def _first(reported: Mapping[str, object], names: tuple[str, ...]) -> int | None:
    for name in names:
        count = _count(reported.get(name))
        if count is not None:
            return count
    return None


def _count(value: object) -> int | None:
    """A whole number, written as 207, 207.0 or "207"; 206.92 becomes 207. True is not a count."""
    if type(value) is int:
        return min(value, _COUNT_MAX) if value >= 0 else None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, float) and value >= 0:
        return math.ceil(min(value, _COUNT_MAX))
    return None
