"""What /docs tells of the image routes. The rules themselves are data, in images/catalog/catalog.toml."""

from typing import Any

_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        "prompt": {"type": "string", "minLength": 1, "maxLength": 32000},
        "model": {"type": "string", "examples": ["gpt-image-2"]},
        "n": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
        "size": {"type": "string", "examples": ["1024x1024", "auto"]},
        "quality": {"type": "string", "enum": ["low", "medium", "high", "xhigh", "max", "auto"]},
        "background": {"type": "string", "enum": ["transparent", "opaque", "auto"]},
        "output_format": {"type": "string", "enum": ["png", "jpeg", "webp"]},
        "output_compression": {"type": "integer", "minimum": 0, "maximum": 100},
        "moderation": {"type": "string", "enum": ["auto", "low"]},
        "stream": {"type": "boolean", "default": False},
        "partial_images": {"type": "integer", "minimum": 0, "maximum": 3},
        "user": {"type": "string"},
    },
}

GENERATION_DOCS: dict[str, Any] = {
    "tags": ["images"],
    "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}}},
    "responses": {
        200: {"description": "The images, as JSON, or as an event stream when `stream` is true."},
        429: {"description": "A limit of the key, its user, team or the gateway refused the request."},
    },
}
