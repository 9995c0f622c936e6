"""The headers of answers, as OpenAPI describes them. Pure."""

from collections.abc import Mapping
from typing import Any

_ABOUT: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "x-request-id": (
        "string",
        {"pattern": "^req_[0-9a-f]{32}$"},
        "The gateway's id of the request, also in its log. Refusals of a connection have none.",
    ),
    "x-should-retry": ("string", {"enum": ["false"]}, "Do not try again: it is useless, or would buy a second image."),
    "retry-after": (
        "integer",
        {"minimum": 1, "maximum": 60},
        "Of an error: seconds after which the same request may pass; nothing was bought. Of a job: when to look again.",
    ),
    "www-authenticate": ("string", {"enum": ["Bearer"]}, "How a key is sent."),
    "location": ("string", {}, "Where the job is found."),
    "preference-applied": ("string", {}, "What was done of Prefer."),
    "allow": ("string", {}, "The methods there are."),
    "x-gateway-estimated-cost-usd": (
        "string",
        {"pattern": r"^[0-9]+\.[0-9]{6}$"},
        "The most this request could cost, in dollars: what was held. What is charged is what ZenMux reports.",
    ),
    "x-gateway-normalized": (
        "string",
        {},
        "What was dropped or mapped, where anything was: `quality=hd->high, style=dropped`.",
    ),
    "x-gateway-replayed": (
        "string",
        {"enum": ["true"]},
        "Another request bought this answer.",
    ),
    "x-gateway-sandbox": ("string", {"enum": ["true"]}, "A sandbox plays ZenMux: nothing was bought."),
    "x-ratelimit-limit-requests": ("integer", {}, "Requests a window, where a limit on requests applies."),
    "x-ratelimit-remaining-requests": ("integer", {"minimum": 0}, "Requests left in the window."),
    "x-ratelimit-reset-requests": ("string", {"pattern": "^[0-9]+s$"}, "Seconds until the window ends."),
}
OF_IMAGES = (
    *("x-request-id", "x-gateway-estimated-cost-usd", "x-gateway-normalized", "x-gateway-sandbox"),
    "x-gateway-replayed",
    *("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
)

IMAGE_REQUEST_HEADERS: list[dict[str, Any]] = [
    {
        "name": "x-gateway-dry-run",
        "in": "header",
        "description": "true: the answer is an `ImageDryRun`. Nothing is reserved, bought or sent.",
        "schema": {"type": "string", "enum": ["true", "false"]},
        "example": "false",
    },
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A new one for each image: the same request with the same key is bought once. May be quoted.",
        "schema": {"type": "string", "pattern": "^[!#-~]{1,255}$"},
    },
    {
        "name": "Prefer",
        "in": "header",
        "description": "`respond-async[, wait=SECONDS]`: the request becomes a job. Not for streams.",
        "schema": {"type": "string"},
        "example": "wait=10",
    },
]


def header_components() -> dict[str, Any]:
    return {
        name: {"description": about, "schema": {"type": kind, **rules}} for name, (kind, rules, about) in _ABOUT.items()
    }


def header_refs(*names: str) -> dict[str, Any]:
    """OpenAPI's `headers` of one answer."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
