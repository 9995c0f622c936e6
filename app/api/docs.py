"""/docs: the routes for callers, as one page made from the OpenAPI document. No script, nothing fetched from elsewhere:
it works without internet, and tells nobody who reads it."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

router = APIRouter(include_in_schema=False)

_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
    "h2{margin-top:2rem}td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}"
)
_LIMITS_OF_VALUES = ("enum", "minimum", "maximum", "minLength", "maxLength", "default", "examples")


@router.get("/docs")
async def docs(request: Request) -> Response:
    """What there is to call, for people; programs read /openapi.json."""
    return HTMLResponse(page(request.app.openapi()), headers=_HEADERS)


def page(openapi: Mapping[str, Any]) -> str:
    """The OpenAPI document as HTML. Pure."""
    about = openapi["info"]
    title = escape(f"{about['title']} {about['version']}")
    routes = "".join(
        _route(method, path, operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>OpenAI's Images API: give its SDKs this server's address followed by <code>/v1</code>, "
        "and a key that begins with <code>sk-zg-</code>, sent as <code>Authorization: Bearer</code>. "
        f'For programs: <a href="openapi.json">openapi.json</a>.</p>{routes}</html>\n'
    )


def _route(method: str, path: str, operation: Mapping[str, Any]) -> str:
    fields = "".join(_fields(operation))
    table = f"<table><tr><th>field<th>type<th>values</tr>{fields}</table>" if fields else ""
    answers = "".join(
        f"<li>{escape(status)}: {escape(answer['description'])}"
        for status, answer in operation["responses"].items()
        if status != "422"  # the framework's own, which the gateway answers in OpenAI's envelope
    )
    return (
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('description', ''))}</p>{table}<ul>{answers}</ul>"
    )


def _fields(operation: Mapping[str, Any]) -> Iterator[str]:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        for name, field in schema.get("properties", {}).items():
            required = " (required)" if name in schema.get("required", ()) else ""
            values = "; ".join(f"{word} {_shown(field[word])}" for word in _LIMITS_OF_VALUES if word in field)
            yield (
                f"<tr><td><code>{escape(name)}</code>{required}<td>{escape(str(field.get('type', '')))}"
                f"<td>{escape(values)}</tr>"
            )


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
