"""What a provider reports it used, and what a scanner learns from a passing answer. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass

_COUNT_MAX = 10**12  # above this a count is nonsense, not usage


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, by direction and modality. All counts are ≥ 0."""

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
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure told inside an answer, in OpenAI's words; None where the provider gave none."""

    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a scanner read out of a whole answer. `complete`: it ended where an answer of its kind must end."""

    complete: bool
    image_count: int
    usage: Usage | None
    failure: Failure | None = None


def parse_usage(reported: object) -> Usage | None:
    """The provider's `usage` object as a Usage, or None when it is absent or makes no sense.

    Output that is not itemised is image output: Images answers often carry no `output_tokens_details`, streams
    never have to, and the image rate is the dearer one. Input that is not itemised is image input for the same
    reason. An itemised zero is a value, not an absence.
    """
    if not isinstance(reported, Mapping):
        return None
    input_tokens, output_tokens = _count(reported.get("input_tokens")), _count(reported.get("output_tokens"))
    if input_tokens is None or output_tokens is None:
        return None
    input_text = _detail(reported.get("input_tokens_details"), "text_tokens", input_tokens)
    output_text = _detail(reported.get("output_tokens_details"), "text_tokens", output_tokens)
    return Usage(input_text, input_tokens - input_text, output_text, output_tokens - output_text)


def _detail(details: object, name: str, total: int) -> int:
    """One itemised part of `total`: the part that is cheaper, so what is missing falls to the dearer one."""
    count = _count(details.get(name)) if isinstance(details, Mapping) else None
    return min(count or 0, total)


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _COUNT_MAX:
        return None
    return value
