"""One list of what wraps the gateway: no middleware is FastAPI's alone, past which image requests go."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI
from httpx2 import ASGITransport
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import layers
from app.api.endpoints import images
from app.api.front import Front
from app.api.layers import wrapped
from app.configuration.reading import check
from app.main import create_app
from app.settings.settings import Settings


def inwards(gateway: ASGIApp) -> Iterator[ASGIApp]:
    """The layers from the outermost to FastAPI. Each keeps what it wraps as `app` or `_app`."""
    while True:
        yield gateway
        if isinstance(gateway, FastAPI):
            return
        gateway = getattr(gateway, "app", None) or getattr(gateway, "_app")  # noqa: B009 - it may be any class


def alone(fastapi: FastAPI) -> set[str]:
    """What FastAPI does to its own requests and no other."""
    named = {getattr(each.cls, "__name__", repr(each.cls)) for each in fastapi.user_middleware}
    return named | {getattr(each.dependency, "__name__", repr(each)) for each in fastapi.router.dependencies}


@pytest.fixture(params=["", "https://studio.example"])
def gateway(request: pytest.FixtureRequest) -> ASGIApp:
    return create_app(check(Settings(_env_file=None, cors_origins=request.param)).configuration)


def test_nothing_is_added_to_fastapi_alone_without_a_reason(gateway: ASGIApp) -> None:
    *outside, fastapi = inwards(gateway)
    assert isinstance(fastapi, FastAPI)
    without_a_reason = alone(fastapi) - layers.FASTAPI_ALONE.keys()
    assert not without_a_reason, (
        f"{without_a_reason} never see an image request: put them into `_layers` of app/main.py, or into "
        "FASTAPI_ALONE of app/api/layers.py with the reason why image requests do without"
    )
    assert layers.FASTAPI_ALONE.keys() <= alone(fastapi), "FASTAPI_ALONE names what is not there"
    assert all(layers.FASTAPI_ALONE.values()), "FASTAPI_ALONE has a name without a reason"
    # The fork in the way lies at FastAPI: whatever comes before it wraps both.
    assert isinstance(outside[-1], Front)


def test_that_rule_can_fail() -> None:
    fastapi = FastAPI(dependencies=[Depends(len)])
    fastapi.add_middleware(BaseHTTPMiddleware, dispatch=None)
    assert alone(fastapi) == {"BaseHTTPMiddleware", "len"}


def test_every_image_route_goes_past_fastapi_and_is_one_of_its_routes() -> None:
    """So that what is said here of image requests is said of all of them, and each has its place in the document."""
    posts = {route.path for route in images.router.routes if "POST" in getattr(route, "methods", ())}  # type: ignore[attr-defined]
    assert set(images.DIRECT) == posts


async def test_the_first_layer_is_the_outermost_and_all_see_every_request() -> None:
    seen: list[str] = []

    def layer(name: str) -> layers.Layer:
        def around(inner: ASGIApp) -> ASGIApp:
            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                seen.append(name)
                await inner(scope, receive, send)

            return app

        return around

    async def straight(_: Any) -> PlainTextResponse:
        return PlainTextResponse("straight")

    gateway = wrapped(Front(PlainTextResponse("elsewhere"), {"/straight": straight}), [layer("first"), layer("second")])
    async with httpx2.AsyncClient(transport=ASGITransport(gateway), base_url="http://gateway") as client:
        for path, body in (("/straight", "straight"), ("/other", "elsewhere")):
            seen.clear()
            assert (await client.post(path)).text == body
            assert seen == ["first", "second"]
