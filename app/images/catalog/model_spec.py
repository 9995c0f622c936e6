"""The rules and prices of one model, as plain values. Reads no file and computes nothing: file.py reads them; sizes.py,
parameters.py, tokens.py and pricing.py apply them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from app.images.catalog.sizes import SizeRule

NANOUSD_PER_USD = 10**9
AUTO = "auto"  # of a size or a quality: the model chooses

# The longest words a record keeps. The columns of the database have this width, so requests and catalog may not name
# longer ones.
MODEL_ID_MAX = 120
RECORDED_WORD_MAX = 16  # of a size, a quality

# The most that the API has a word for, on any model.
PARTIAL_IMAGES_MAX = 3
INPUT_IMAGES_MAX = 16
INPUT_FIDELITIES = ("high", "low")


@dataclass(frozen=True, slots=True)
class AreaTokens:
    """Output tokens by the area formula of tokens.py: the quality's `base`, times `percent` / 100.

    100 percent is the exact formula. Above it, the result is an upper bound for a model that was only measured.
    """

    base: Mapping[str, int]
    percent: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TableTokens:
    """Output tokens by quality, then size."""

    by_quality: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class FlatTokens:
    """The same output tokens for every image; 0 for models with a price per image."""

    per_image: int


TokenRule = AreaTokens | TableTokens | FlatTokens


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """Nano-USD per token. `text_out` is None if no text price is known: text then costs as much as images."""

    text_in: int
    image_in: int
    image_out: int
    text_out: int | None


@dataclass(frozen=True, slots=True)
class ImagePrice:
    """Nano-USD per image, whatever its tokens."""

    per_image: int


Prices = TokenPrices | ImagePrice


@dataclass(frozen=True, slots=True)
class EditRules:
    """What a model that edits images takes beside the parameters of a generation.

    At most `images_max` images in. `input_fidelity` lists the accepted words; where it is empty the model refuses the
    parameter. `markup`: whether it takes a drawing over the first image.
    """

    images_max: int
    input_fidelity: tuple[str, ...]
    markup: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One model. `id` is sent upstream, `name` is shown to clients, `created` is in Unix seconds.

    An empty tuple of words means that any word is passed on. `prices` is None if the price is unknown: `hold_nanousd`
    is then held and charged for each image. `listed` is False for a model that the catalog does not list and the
    operator allows. `edits` is None for a model that makes no edits. A model streams where `stream` is among its
    parameters, with at most `partial_images_max` partial images. `successor` names the model that takes its place;
    `auto_quality` is the quality that `auto` is known to mean, or `auto`.
    """

    id: str
    name: str
    aliases: tuple[str, ...]
    created: int
    owned_by: str
    ends_on: date | None
    successor: str | None
    parameters: frozenset[str]
    open: bool
    prompt_chars_max: int
    n_max: int
    sizes: SizeRule
    qualities: tuple[str, ...]
    auto_quality: str
    output_formats: tuple[str, ...]
    backgrounds: tuple[str, ...]
    transparent_background: bool
    moderations: tuple[str, ...]
    partial_images_max: int
    edits: EditRules | None
    token_rule: TokenRule
    text_output_tokens_max: int
    input_image_tokens_max: int
    prices: Prices | None
    hold_nanousd: int | None
    listed: bool = True

    def has_ended(self, today: date) -> bool:
        """Whether the vendor serves it no more on that day (UTC): it ends as its last date begins."""
        return self.ends_on is not None and self.ends_on <= today
