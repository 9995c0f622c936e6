"""The admin API as an app of its own: its routes, its OpenAPI document, and its errors in OpenAI's envelope."""

from fastapi import FastAPI
from starlette.exceptions import HTTPException

import app
from app.admin_api import status
from app.api.front import handle_gateway_error, handle_http_error
from app.errors import GatewayError

PREFIXES = ("/admin/v1/",)
"""Where its paths begin."""


def admin_door() -> FastAPI:
    """The app. Requests bring the services of the gateway's own lifespan with them."""
    door = FastAPI(
        title="zenmux-gateway: administration",
        version=app.__version__,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    door.include_router(status.router)
    door.add_exception_handler(GatewayError, handle_gateway_error)
    door.add_exception_handler(HTTPException, handle_http_error)
    return door
