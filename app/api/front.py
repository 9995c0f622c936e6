"""The outermost door: image requests go straight to their handler, everything else through FastAPI's own way in.

It answers our errors for both. FastAPI's middlewares and router cost more than refusing a request does
(docs/performance.md), so the routes that carry images do without; FastAPI still documents them.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.error_responses import error_response, http_refusal, wire_error
from app.api.routes import canonical
from app.api.services import event_of
from app.errors import CallerError, Draining, GatewayError, GatewayFault, Interrupted, LimitReached
from app.telemetry.event import RequestEvent

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

Handler = Callable[[Request], Awaitable[Response]]


class Front:
    """ASGI. `direct` has the handlers of a POST to these paths, in any spelling; `doors` the apps of what is
    below these paths, which end in a slash; `app` handles everything else.
    """

    def __init__(
        self,
        app: ASGIApp,
        direct: Mapping[str, Handler],
        doors: Mapping[tuple[str, ...], ASGIApp] = MappingProxyType({}),
    ) -> None:
        self._app = app
        self._direct = direct
        self._doors = [(beginning, door) for beginnings, door in doors.items() for beginning in beginnings]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = canonical(scope["path"])
        handler = self._direct.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if handler is None:
            await self._door(scope["path"] if scope["type"] == "http" else "")(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await handler(request)
            await response(scope, receive, send)
        except GatewayError as error:
            # An exchange raises only while it has sent nothing.
            await answer_gateway_error(request, error)(scope, receive, send)

    def _door(self, path: str) -> ASGIApp:
        return next((door for beginning, door in self._doors if f"{path}/".startswith(beginning)), self._app)


def answer_gateway_error(request: Request, error: GatewayError) -> Response:
    """The answer to a request that ended with one of our errors. Notes the error in the request's event."""
    wire = wire_error(error)
    event = event_of(request)
    event.error_code = wire.code
    if isinstance(error, (CallerError, LimitReached, GatewayFault)):
        event.refusal = wire.code or wire.type
    if not event.is_reserved:
        event.outcome = wire.outcome
    return error_response(wire)


async def handle_gateway_error(request: Request, error: Exception) -> Response:
    """FastAPI's handler for our own errors."""
    assert isinstance(error, GatewayError)
    return answer_gateway_error(request, error)


async def handle_http_error(request: Request, error: Exception) -> Response:
    """The framework's own refusals: no such path, no such method."""
    assert isinstance(error, HTTPException)
    event = event_of(request)
    headers = {"Allow": ", ".join(_methods_here(request))} if error.status_code == 405 else error.headers
    wire = http_refusal(error.status_code, str(error.detail), request.method, event.path, headers)
    event.outcome, event.refusal, event.error_code = wire.outcome, wire.code, wire.code
    return error_response(wire)


def _methods_here(request: Request) -> list[str]:
    """All that the path takes: the framework's own answer names those of one route."""
    routes = request.app.routes
    return [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


def fault_response() -> Response:
    """For a request that ended with a bug of the gateway."""
    return error_response(wire_error(GatewayError("")))


def stopping_response(event: RequestEvent) -> Response:
    """For a request that a stop found before it was an exchange, or that did not end when it was asked to."""
    if not event.is_reserved:  # nothing was reserved, so nothing was sent
        return error_response(wire_error(Draining("The gateway is stopping. Please try again shortly.")))
    return error_response(wire_error(Interrupted("The gateway stopped before this request was answered.")))
