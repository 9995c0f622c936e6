"""Writes the routes into docs/admin-api.md: `.venv/bin/python -m tests.admin_api.admin_page`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.admin_api.document import document_of
from app.admin_api.door import admin_door

PAGE = Path(__file__).parents[2] / "docs" / "admin-api.md"
_BEGIN, _END = "<!-- made from the OpenAPI document -->\n", "\n<!-- end -->"
_COMMON = frozenset({"limit", "after", "dry_run", "if-match", "if-none-match"})


def page_with_routes(text: str) -> str:
    """The page with the routes as they are to be."""
    before, rest = text.split(_BEGIN)
    document = document_of(admin_door().openapi())
    return f"{before}{_BEGIN}{chr(10).join(_routes(document)).strip()}{_END}{rest.split(_END)[1]}"


def _routes(document: dict[str, Any]) -> Iterator[str]:
    schemas, tag = document["components"]["schemas"], ""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if operation["tags"][0] != tag:
                tag = operation["tags"][0]
                yield f"\n### {tag}\n"
            about = " ".join(operation["description"].split())
            yield f"`{method.upper()} {path}`: {about}\n"
            fields = [*_parameters(operation), *_body(operation, schemas)]
            yield from fields
            if fields:
                yield ""


def _parameters(operation: dict[str, Any]) -> Iterator[str]:
    left_out = (
        _COMMON if operation["tags"][0] != "organization" else frozenset()
    )  # OpenAI's have a `limit` of their own
    for each in operation.get("parameters", ()):
        if each["in"] != "path" and each["name"].lower() not in left_out:
            about = each.get("description") or each["schema"].get("description", "")
            name = f"{'?' if each['in'] == 'query' else ''}{each['name']}"
            yield f"- `{name}`{_of(each['schema'])}{': ' + about if about else ''}"


def _body(operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" not in schema:
        return
    body = schemas[schema["$ref"].rsplit("/", 1)[-1]]
    for name, field in body.get("properties", {}).items():
        needed = " (needed)" if name in body.get("required", ()) else ""
        about = field.get("description", "")
        yield f"- `{name}`{needed}{_of(field)}{': ' + about if about else ''}"


def _of(schema: dict[str, Any]) -> str:
    words = schema.get("enum") or schema.get("items", {}).get("enum")
    return f" ({', '.join(map(str, words))})" if words else ""


if __name__ == "__main__":
    PAGE.write_text(page_with_routes(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
