"""How the door reads requests: JSON bodies that are bounded and strict, queries without unknown names, and faults as
400 that name the field.
"""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import Message

from app.api.body import read_json_object
from app.api.front import answer_gateway_error
from app.errors import InvalidRequest, InvalidValue

_BODY_BYTES_MAX = 1_000_000
_SHOWN_MAX = 100

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """A route whose query, path and body, if it takes one, are read by our own rules before the framework's."""

    def get_route_handler(self) -> Handler:
        handle, has_body = super().get_route_handler(), self.body_field is not None

        async def strict(request: Request) -> Response:
            _refuse_nul(request)
            if not has_body:
                return await handle(request)
            body = orjson.dumps(await read_json_object(request, _BODY_BYTES_MAX))

            async def receive() -> Message:
                return {"type": "http.request", "body": body, "more_body": False}

            return await handle(Request(request.scope, receive))

        return strict


def _refuse_nul(request: Request) -> None:
    """PostgreSQL takes no text with a NUL, so nothing has an id or a name with one."""
    for name, value in (*request.query_params.multi_items(), *request.path_params.items()):
        if "\0" in f"{name}{value}":
            shown = name.replace("\0", "")[:_SHOWN_MAX]
            message = f"Invalid parameter {shown!a}: it has a NUL character."
            raise InvalidRequest(message, param=shown, code="invalid_value")


@contextmanager
def of_field(param: str) -> Iterator[None]:
    """What cannot be accepted in the block is refused as this field's."""
    try:
        yield
    except InvalidValue as error:
        raise InvalidRequest(error.message, param=param, code="invalid_value") from None


async def handle_invalid(request: Request, error: Exception) -> Response:
    """FastAPI's handler for what does not fit a route's parameters or body."""
    assert isinstance(error, RequestValidationError)
    return answer_gateway_error(request, _refusal(error.errors()[0]))


def _refusal(fault: dict[str, Any]) -> InvalidRequest:
    where, *path = fault["loc"]
    param = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1 : _SHOWN_MAX + 1]
    kind = {"query": "query parameter", "header": "header", "path": "part of the path"}.get(where, "field")
    match fault["type"]:
        case "extra_forbidden":
            message = f"There is no {kind} {param!a} here. Leave it out."
            return InvalidRequest(message, param=param, code="unknown_parameter")
        case "missing":
            message = f"The {kind} {param!a} is missing."
            return InvalidRequest(message, param=param or None, code="missing_required_parameter")
    said = fault["msg"].removeprefix("Value error, ").removesuffix(".")
    return InvalidRequest(f"Invalid {kind} {param!a}: {said}.", param=param or None, code="invalid_value")
