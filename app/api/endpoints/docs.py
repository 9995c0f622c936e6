"""/openapi.json, and /docs: the same as a page. No script, nothing fetched from elsewhere: it works without internet,
and tells nobody who reads it."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from html import escape
from typing import Any

import orjson
from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from app.images.request.normalize import RequestPolicy

_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
    "h2{margin-top:2rem}td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}"
)
_LIMITS_OF_VALUES = ("enum", "minimum", "maximum", "minLength", "maxLength", "default", "examples")


def docs_router(
    policy: Callable[[], RequestPolicy], describe: Callable[[RequestPolicy], Mapping[str, Any]]
) -> APIRouter:
    """The two routes. `describe` makes the OpenAPI document for the present `policy`; it is called when somebody first
    asks, and only then.
    """
    router = APIRouter()

    @lru_cache(maxsize=1)
    def document(policy: RequestPolicy) -> bytes:
        return orjson.dumps(describe(policy))

    @lru_cache(maxsize=1)
    def html(policy: RequestPolicy) -> str:
        return page(describe(policy))

    @router.get("/openapi.json")
    async def openapi() -> Response:
        return Response(document(policy()), media_type="application/json")

    @router.get("/docs")
    async def docs() -> Response:
        return HTMLResponse(html(policy()), headers=_HEADERS)

    return router


def page(openapi: Mapping[str, Any]) -> str:
    """The OpenAPI document as HTML. Pure."""
    about = openapi["info"]
    title = escape(f"{about['title']} {about['version']}")
    bodies = openapi.get("components", {}).get("schemas", {})
    routes = "".join(
        _route(f"{method.upper()} {path}", operation, _body(operation, bodies))
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>OpenAI's Images API: give its SDKs this server's address followed by <code>/v1</code>, "
        "and a key that begins with <code>sk-zg-</code>, sent as <code>Authorization: Bearer</code>. "
        f'For programs: <a href="openapi.json">openapi.json</a>.</p>{routes}</html>\n'
    )


def _body(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of what the operation reads; {} where it reads nothing."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        found: Mapping[str, Any] = schemas[content["schema"]["$ref"].rsplit("/", 1)[-1]]
        return found
    return {}


def _route(name: str, operation: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    fields = "".join(_fields(body))
    table = f"<table><tr><th>field<th>type<th>values</tr>{fields}</table>" if fields else ""
    answers = "".join(
        f"<li>{escape(status)}: {escape(answer['description'])}" for status, answer in operation["responses"].items()
    )
    return (
        f"<h2><code>{escape(name)}</code></h2>"
        f"<p>{escape(operation.get('description', ''))}</p>{table}<ul>{answers}</ul>"
    )


def _fields(body: Mapping[str, Any]) -> Iterator[str]:
    for name, field in body.get("properties", {}).items():
        required = " (required)" if name in body.get("required", ()) else ""
        values = [f"{word} {_shown(field[word])}" for word in _LIMITS_OF_VALUES if word in field]
        rules = "; ".join([*values, *([field["description"]] if "description" in field else [])])
        yield f"<tr><td><code>{escape(name)}</code>{required}<td>{escape(_types(field))}<td>{escape(rules)}</tr>"


def _types(field: Mapping[str, Any]) -> str:
    kinds = [field, *field.get("anyOf", ())]
    named = [kind.get("type", ()) for kind in kinds]
    return " or ".join(word for words in named for word in ([words] if isinstance(words, str) else words))


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join("null" if each is None else str(each) for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
