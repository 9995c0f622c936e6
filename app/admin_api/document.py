"""/admin/v1/openapi.json: what the framework sees of the routes, and what every route may be refused with."""

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from app import errors
from app.api.openapi.errors import of_every_route, of_keys, responses
from app.api.openapi.headers import header_components
from app.api.openapi.schemas import schema_components
from app.errors import GatewayError, InvalidRequest

_ABOUT = """Administration over HTTP. Send `GATEWAY_ADMIN_KEY`, or a key with a role (`keys create --role`), as a Bearer
token: docs/roles.md says who may do what. A PUT may be sent again. Lists are pages; `Accept: text/csv` gives a page as
CSV, whose header `x-has-more` says whether there are more."""
_REASONS = {
    403: "The role does not allow it: docs/roles.md.",
    404: "It is not there, or not for this role to see.",
    409: "What is there does not allow it.",
    412: "It is not as the change expects it.",
}
_CSV = {"text/csv": {"schema": {"type": "string"}}}


def document_router(describe: Callable[[], dict[str, Any]]) -> APIRouter:
    """Its route. `describe` makes the document when somebody first asks: in a thread, because that takes a while."""
    router = APIRouter()

    @cache
    def document() -> bytes:
        return orjson.dumps(describe())

    @router.get("/admin/v1/openapi.json", include_in_schema=False)
    async def show_document() -> Response:
        return Response(await asyncio.to_thread(document), media_type="application/json")

    return router


def document_of(document: dict[str, Any]) -> dict[str, Any]:
    """The framework's document, completed."""
    document["info"]["description"] = _ABOUT
    ours = schema_components()
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):  # the framework's, which no route answers
        schemas.pop(name, None)
    schemas |= {name: ours[name] for name in ("ErrorResponse", "ErrorObject")}
    document["components"]["headers"] = header_components()
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "GATEWAY_ADMIN_KEY, or a key of this gateway."}
    }
    for operations in document["paths"].values():
        for method, operation in operations.items():
            _complete(method, operation)
    return document


def _complete(method: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    operation["security"] = [{"bearer": []}]
    shown = answers["200"]["content"]["application/json"]["schema"]
    if "ListShape" in shown.get("$ref", ""):
        answers["200"]["content"] |= _CSV
    for status, refusal in responses(_refusals(method, operation), _REASONS).items():
        answers.setdefault(status, refusal)


def _refusals(method: str, operation: dict[str, Any]) -> list[GatewayError]:
    found = [*of_every_route(), *of_keys()]
    found += [
        InvalidRequest("Invalid query parameter 'limit'.", param="limit", code="invalid_value"),
        InvalidRequest("There is no field 'amuont' here. Leave it out.", param="amuont", code="unknown_parameter"),
        errors.NotPermitted("The role member may not do this. Ask an admin."),
        errors.NotFound("There is no user 'alcie'. Did you mean alice?"),
    ]
    if method != "get":
        found += [
            errors.InvalidValue("The name of the team is empty."),
            errors.Conflict("The user alice: the team is set by the file gateway.yaml."),
        ]
    headers = {parameter["name"].lower() for parameter in operation.get("parameters", ())}
    if "if-match" in headers:
        found.append(errors.ChangedMeanwhile("It was changed since you read it. Read it again."))
    if "idempotency-key" in headers:
        found.append(errors.IdempotencyKeyReused("Another request was sent with this Idempotency-Key. Send a new one."))
    if "requestBody" in operation:
        found += [
            InvalidRequest("The request's body is not JSON.", param=None, code="invalid_json"),
            errors.BodyTooLarge("The request's body is larger than 1000000 bytes."),
            errors.UnsupportedContentType("This route reads JSON."),
        ]
    return found
