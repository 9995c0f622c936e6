"""What an image costs in tokens, by the published formulas. Pure. The prices are the catalog's."""

import math

from app.images.catalog.model_spec import TableTokens
from app.images.cost.tokens import output_tokens
from app.images.cost.usage import Usage
from app.sandbox.requests.asked import Asked

PARTIAL_IMAGE_TOKENS = 100

_TEXT_OVERHEAD_TOKENS = 6
_BYTES_PER_TEXT_TOKEN = 4
_PATCH_PIXELS = 32
_PATCHES_MAX = 1536
_PATCH_EDGE_MIN = 1024
_TILE_PIXELS = 512
_TILED_EDGE_MAX = 2048
_TILE_BASE_TOKENS, _TILE_TOKENS = 65, 129
_FIDELITY_SQUARE_TOKENS, _FIDELITY_OTHER_TOKENS = 4160, 6240


def meter(asked: Asked) -> Usage:
    """The tokens of the whole request, the `usage` directive included."""
    images = asked.n * asked.frames * output_tokens(asked.spec, asked.size, asked.quality)
    by_tile = isinstance(asked.spec.token_rule, TableTokens)
    inputs = sum(
        tiles(width, height, asked.input_fidelity) if by_tile else patches(width, height)
        for width, height in asked.inputs
    )
    factor = asked.directives.usage_factor
    return Usage(
        input_text_tokens=factor * text_tokens(asked.prompt),
        input_image_tokens=factor * inputs,
        output_image_tokens=factor * (images + PARTIAL_IMAGE_TOKENS * asked.partial_images),
    )


def text_tokens(prompt: str) -> int:
    """About what a tokenizer counts: never above 16 + the number of characters, the bound that the gateway holds."""
    return _TEXT_OVERHEAD_TOKENS + math.ceil(len(prompt.encode()) / _BYTES_PER_TEXT_TOKEN)


def patches(width: int, height: int) -> int:
    """Tokens of an input image of gpt-image-2 and later: squares of 32 pixels, at most 1,536."""
    scale = max(1.0, _PATCH_EDGE_MIN / max(width, height))
    across, down = width * scale / _PATCH_PIXELS, height * scale / _PATCH_PIXELS
    if math.ceil(across) * math.ceil(down) <= _PATCHES_MAX:
        return math.ceil(across) * math.ceil(down)
    shrink = math.sqrt(_PATCHES_MAX / (across * down))
    across, down = across * shrink, down * shrink
    # Shrink further until one edge is a whole number of patches, so that rounding up does not exceed the maximum.
    shrink = min(max(1, math.floor(edge)) / edge for edge in (across, down))
    return min(_PATCHES_MAX, math.ceil(across * shrink - 1e-9) * math.ceil(down * shrink - 1e-9))


def tiles(width: int, height: int, input_fidelity: str) -> int:
    """Tokens of an input image of the models with fixed sizes: squares of 512 pixels of the shrunk image."""
    scale = min(1.0, _TILED_EDGE_MAX / max(width, height), _TILE_PIXELS / min(width, height))
    count = math.ceil(width * scale / _TILE_PIXELS) * math.ceil(height * scale / _TILE_PIXELS)
    extra = 0
    if input_fidelity == "high":
        extra = _FIDELITY_SQUARE_TOKENS if width == height else _FIDELITY_OTHER_TOKENS
    return _TILE_BASE_TOKENS + _TILE_TOKENS * count + extra
