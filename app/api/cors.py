"""Lets the origins that the operator names call the gateway from a browser. Outermost, so every answer has the headers,
including streamed images and errors.
"""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from app.api.error_responses import error_response, preflight_refusal

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_READABLE = (
    *("x-request-id", "x-should-retry", "retry-after", "x-gateway-normalized", "x-gateway-estimated-cost-usd"),
    *("x-gateway-replayed", "x-gateway-sandbox", "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"),
    *("x-ratelimit-reset-requests", "location", "preference-applied"),
)
_PREFLIGHT_SECONDS = 600
_ENTITY = ("content-type", "content-length")


class Cors(CORSMiddleware):
    """ASGI middleware for requests of `origins`. Keys travel in headers, so no cookie is ever allowed."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=("*",),
            expose_headers=_READABLE,
            max_age=_PREFLIGHT_SECONDS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """The framework's answer; but a refusal is in OpenAI's envelope, as all others are."""
        answer = super().preflight_response(request_headers)
        if answer.status_code == 200:
            return answer
        refusal = error_response(preflight_refusal(bytes(answer.body).decode()))
        refusal.headers.update({name: value for name, value in answer.headers.items() if name not in _ENTITY})
        return refusal
