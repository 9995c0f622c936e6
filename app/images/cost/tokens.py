"""How many tokens an image takes: exact if a formula is known, else an upper bound."""

from collections.abc import Callable
from functools import lru_cache

from app.images.catalog.model_spec import AUTO, AreaTokens, FlatTokens, ModelSpec, TableTokens
from app.images.catalog.sizes import SizeBounds, SizeList, parse_size
from app.images.cost.usage import Usage
from app.images.request.normalize import ImageRequest

PARTIAL_IMAGE_TOKENS = 100  # output tokens billed for each partial image
_TEXT_OVERHEAD_TOKENS = 16  # around the prompt; about 6 were measured
_AREA_OFFSET, _AREA_DIVISOR = 2_000_000, 4_000_000


def output_tokens(spec: ModelSpec, size: str, quality: str) -> int:
    """Output tokens of one image of that size and quality, without its partial images. Neither may be `auto`.

    Exact for the rules `area` and `table` (the calculator OpenAI publishes, checked against bills). An upper bound for
    `measured`, the configured number for `flat`. Raises ValueError for a size or quality that the rule does not cover.
    """
    rule = spec.token_rule
    if isinstance(rule, FlatTokens):
        return rule.per_image
    edges = parse_size(size)
    if edges is None:
        raise ValueError(f"no size in pixels: {size!r}")
    if isinstance(rule, TableTokens):
        by_size = rule.by_quality.get(quality, {})
        if size not in by_size:
            raise ValueError(f"no figure for {quality!r} at {size!r}")
        return by_size[size]
    if quality not in rule.base:
        raise ValueError(f"no figure for {quality!r}")
    return _area_tokens(rule.base[quality], rule.percent[quality], edges, _half_to_even)


def output_tokens_max(spec: ModelSpec, size: str, quality: str) -> int:
    """The most output tokens that one image may take, without its partial images. `auto` is held at its dearest
    meaning.

    Never below output_tokens: halves are rounded up here, because copies of the calculator differ in that. For size
    `auto` within bounds no list of sizes is trusted (images outside the size rules were seen). The result is that of a
    square of the largest area; no other shape of at most that area takes more.
    """
    rule = spec.token_rule
    if isinstance(rule, FlatTokens):
        return rule.per_image
    qualities = rule.base if isinstance(rule, AreaTokens) else rule.by_quality
    quality = spec.auto_quality if quality == AUTO else quality
    named = list(qualities) if quality == AUTO else [quality]
    if size == AUTO and isinstance(spec.sizes, SizeBounds) and isinstance(rule, AreaTokens):
        return max(_tokens_of(rule.base[q], rule.percent[q], rule.base[q], spec.sizes.auto_pixels_max) for q in named)
    sizes = spec.sizes.values if size == AUTO and isinstance(spec.sizes, SizeList) else (size,)
    if isinstance(rule, TableTokens):
        return max(output_tokens(spec, s, q) for s in sizes for q in named)
    return max(
        _area_tokens(rule.base[q], rule.percent[q], parse_size(s) or (0, 1), _half_up) for s in sizes for q in named
    )


def output_tokens_min(spec: ModelSpec, size: str, quality: str) -> int:
    """The fewest output tokens that one image may take. `auto` counts at its cheapest meaning.

    Only a formula gives such a figure: it is 0 for rules that are no more than an upper bound. For size `auto` within
    bounds it is that of the longest shape of the smallest area.
    """
    rule = spec.token_rule
    if isinstance(rule, FlatTokens):
        return 0
    qualities = rule.base if isinstance(rule, AreaTokens) else rule.by_quality
    quality = spec.auto_quality if quality == AUTO else quality
    named = list(qualities) if quality == AUTO else [quality]
    if isinstance(rule, AreaTokens):
        if any(rule.percent[q] != 100 for q in named):
            return 0
        if size == AUTO and isinstance(spec.sizes, SizeBounds):
            bounds = spec.sizes
            return min(
                _tokens_of(rule.base[q], 100, rule.base[q] // bounds.ratio_max, bounds.pixels_min) for q in named
            )
    if size == AUTO and not isinstance(spec.sizes, SizeList):
        return 0
    sizes = spec.sizes.values if size == AUTO and isinstance(spec.sizes, SizeList) else (size,)
    return min(output_tokens(spec, s, q) for s in sizes for q in named)


def hold_tokens(request: ImageRequest) -> Usage:
    """The most tokens that the answer to the request may report.

    Text input: the prompt's bytes in UTF-8, plus an overhead. A byte tokenizer never makes more tokens than bytes,
    while one character outside Latin script may be three tokens. Text and image input are counted once per image,
    because it is not published whether n multiplies them. Text output is held as image output, which is its cost if an
    answer does not itemise it.
    """
    spec, n = request.model, request.n
    image = output_tokens_max(spec, request.size, request.quality) * request.frames
    image += spec.text_output_tokens_max + PARTIAL_IMAGE_TOKENS * request.partial_images
    return Usage(
        input_text_tokens=n * (_TEXT_OVERHEAD_TOKENS + len(request.prompt.encode())),
        input_image_tokens=n * request.input_image_count * spec.input_image_tokens_max,
        output_image_tokens=n * image,
    )


def least_tokens(request: ImageRequest) -> Usage:
    """The fewest tokens that a whole answer with every requested image may report. Input counts for nothing here: how
    few tokens a tokenizer makes of a prompt is not published.
    """
    return Usage(output_image_tokens=request.n * output_tokens_min(request.model, request.size, request.quality))


@lru_cache(maxsize=1024)
def _area_tokens(base: int, percent: int, edges: tuple[int, int], rounded: Callable[[int, int], int]) -> int:
    short, long = sorted(edges)
    return _tokens_of(base, percent, rounded(base * short, long), short * long)


def _tokens_of(base: int, percent: int, short_side: int, pixels: int) -> int:
    """ceil(base * short_side * (2,000,000 + pixels) / 4,000,000), then the percentage of it, rounded up."""
    tokens = _up(base * short_side * (_AREA_OFFSET + pixels), _AREA_DIVISOR)
    return _up(tokens * percent, 100)


def _up(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def _half_to_even(numerator: int, denominator: int) -> int:
    nearest = _half_up(numerator, denominator)
    is_half = (2 * numerator) % (2 * denominator) == denominator
    return nearest - nearest % 2 if is_half else nearest
