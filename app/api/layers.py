"""What wraps the gateway: every layer is put around FastAPI and around the routes that go past it, in one place.

A middleware added to FastAPI itself would never see an image request. Where that is meant, its class stands in
FASTAPI_ALONE with the reason; a test refuses all others.
"""

from collections.abc import Callable, Iterable, Mapping

from starlette.types import ASGIApp

Layer = Callable[[ASGIApp], ASGIApp]

FASTAPI_ALONE: Mapping[str, str] = {}
"""Names of the middleware classes that the image routes do without → why."""


def wrapped(app: ASGIApp, layers: Iterable[Layer]) -> ASGIApp:
    """`app` inside the layers, of which the first is the outermost."""
    for layer in reversed(list(layers)):
        app = layer(app)
    return app
