"""Pages of other origins may call the gateway from a browser, where the operator names them. Outermost: every
answer has the headers, streamed images and errors too."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_READABLE = (
    *("x-request-id", "x-should-retry", "retry-after", "x-gateway-normalized", "x-gateway-estimated-cost-usd"),
    *("x-gateway-replayed", "x-gateway-sandbox", "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"),
    "x-ratelimit-reset-requests",
)
_PREFLIGHT_SECONDS = 600


def with_cors(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """`app` behind the answers that browsers ask for. Keys travel in headers, so no cookie is ever allowed."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=_METHODS,
        allow_headers=("*",),
        expose_headers=_READABLE,
        max_age=_PREFLIGHT_SECONDS,
    )
