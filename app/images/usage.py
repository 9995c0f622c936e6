"""What a provider reports it used, and what a scanner learns from a passing answer. Pure values."""

from dataclasses import dataclass
from typing import NamedTuple

_COUNT_MAX = 10**12  # above this a count is nonsense, not usage


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
    """What a scanner read out of a whole answer. `complete`: it ended where an answer of its kind must end."""

    complete: bool
    image_count: int
    usage: Usage | None
    failure: Failure | None = None


def parse_usage(reported: object, *, images_sent: bool = False) -> Usage | None:
    """The provider's `usage` object as a Usage, or None when it is absent or makes no sense.

    What is not itemised falls to what it can only be, or else to the dearer kind: output to images (Images answers
    often carry no `output_tokens_details`, streams never have to), input to text, unless the request sent images in
    (`images_sent`). An itemised zero is a value, not an absence. Parts that exceed their total are cut to it, the
    text first.
    """
    if not isinstance(reported, dict):
        return None
    input_tokens, output_tokens = _count(reported.get("input_tokens")), _count(reported.get("output_tokens"))
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


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= _COUNT_MAX else None  # True is no count
