"""What usage costs, and what a request may cost at most, in integer nano-USD. Counts no tokens: tokens.py does."""

from dataclasses import replace
from typing import NamedTuple

from app.images.catalog.model_spec import ImagePrice, ModelSpec
from app.images.catalog.sizes import parse_size
from app.images.cost.tokens import hold_tokens, least_tokens
from app.images.cost.usage import Usage
from app.images.request.normalize import ImageRequest


class Estimate(NamedTuple):
    """The worst case of a request. Without a price (`priced` False), `nanousd` is the amount that the operator set."""

    images: int
    tokens: int
    nanousd: int
    usage: Usage
    priced: bool


def price(usage: Usage, image_count: int, spec: ModelSpec) -> int | None:
    """Nano-USD for what was used; None if the model's price is unknown.

    Exact: prices are whole nano-dollars per token. Cached input cannot be told apart in an answer, so it is priced in
    full. Text output costs as much as images if no text price is known.
    """
    prices = spec.prices
    if prices is None:
        return None
    if isinstance(prices, ImagePrice):
        return prices.per_image * image_count
    text_out = prices.image_out if prices.text_out is None else prices.text_out
    return (
        prices.text_in * usage.input_text_tokens
        + prices.image_in * usage.input_image_tokens
        + prices.image_out * usage.output_image_tokens
        + text_out * usage.output_text_tokens
    )


def estimate(request: ImageRequest) -> Estimate:
    """The most the request may use and cost."""
    usage = hold_tokens(request)
    nanousd = price(usage, request.n, request.model)
    priced = nanousd is not None
    if nanousd is None:
        assert request.model.hold_nanousd is not None, "a model without prices has an amount to hold"
        nanousd = request.model.hold_nanousd * request.n
    return Estimate(request.n, usage.total_tokens, nanousd, usage, priced)


def least_estimate(request: ImageRequest) -> Estimate:
    """The least that a whole answer with every requested image may use and cost: nothing, without a price."""
    usage = least_tokens(request)
    nanousd = price(usage, request.n, request.model)
    return Estimate(request.n, usage.total_tokens, nanousd or 0, usage, nanousd is not None)


def bounded_estimate(request: ImageRequest, worst: Estimate, size: str | None, quality: str | None) -> Estimate:
    """The estimate of an image that came, in the size and quality that its answer names. Never above `worst`."""
    known = size if size is not None and parse_size(size) is not None else request.size
    try:
        named = estimate(replace(request, size=known, quality=quality or request.quality))
    except (KeyError, ValueError):  # words that the model does not know
        return worst
    return named if named.nanousd <= worst.nanousd and named.tokens <= worst.tokens else worst
