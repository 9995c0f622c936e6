"""The admin API as an app of its own: its routes, its OpenAPI document, and its errors in OpenAI's envelope."""

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

import app
from app.admin_api.document import document_of, document_router
from app.admin_api.requests import handle_invalid
from app.admin_api.routes import (
    gateway,
    jobs,
    keys,
    limits,
    organization,
    reload,
    requests,
    setup,
    status,
    teams,
    usage,
    users,
)
from app.api.front import handle_gateway_error, handle_http_error
from app.errors import GatewayError

PREFIXES = ("/admin/v1/", "/v1/organization/")
"""Where its paths begin."""

ROUTERS: tuple[APIRouter, ...] = tuple(
    each.router
    for each in (status, teams, users, keys, limits, requests, jobs, usage, gateway, reload, setup, organization)
)


def admin_door() -> FastAPI:
    """The app. Requests bring the services of the gateway's own lifespan with them."""
    door = FastAPI(
        title="zenmux-gateway: administration",
        version=app.__version__,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    for router in (*ROUTERS, document_router(lambda: document_of(door.openapi()))):
        door.include_router(router)
    door.add_exception_handler(GatewayError, handle_gateway_error)
    door.add_exception_handler(HTTPException, _handle_http)
    door.add_exception_handler(RequestValidationError, handle_invalid)
    return door


async def _handle_http(request: Request, error: Exception) -> Response:
    """The framework names only the methods of the first route with this path."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        routes = [each for router in ROUTERS for each in router.routes if isinstance(each, APIRoute)]
        methods = {
            method for each in routes if each.path_regex.match(request.scope["path"]) for method in each.methods or ()
        }
        error = HTTPException(405, headers={"Allow": ", ".join(sorted(methods))})
    return await handle_http_error(request, error)
