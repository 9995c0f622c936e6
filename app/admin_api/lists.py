"""Lists in OpenAI's shape, a page at a time; as CSV where the request accepts it, safe to open in a spreadsheet."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from app.admin.csv_cells import csv_text
from app.admin.reads.pages import Page
from app.admin_api.calls import Strict
from app.admin_api.json_answers import JsonAnswer
from app.api.headers import header
from app.errors import InvalidRequest

LIMIT_MAX = 1000


class PageQuery(Strict):
    """The query of every list."""

    limit: int = Field(100, ge=1, le=LIMIT_MAX, description="At most so many.")
    after: str | None = Field(None, description="The `id` of the last one of the page before.", max_length=200)


def page_of(rows: Sequence[dict[str, Any]], asked: PageQuery) -> tuple[Sequence[dict[str, Any]], bool]:
    """The page of `rows` that was asked for, and whether there are more. Raises InvalidRequest for an unknown id."""
    start = 0
    if asked.after is not None:
        found = [number for number, row in enumerate(rows) if row["id"] == asked.after]
        if not found:
            raise unknown_after()
        start = found[0] + 1
    return rows[start : start + asked.limit], len(rows) > start + asked.limit


def unknown_after() -> InvalidRequest:
    """There is no row with the id of `after`."""
    message = "There is nothing with the id in 'after' any more. Begin again without it."
    return InvalidRequest(message, param="after", code="invalid_value")


def listed(request: Request, shape: type[BaseModel], rows: Sequence[dict[str, Any]], *, has_more: bool) -> Response:
    """The answer with one page. `shape` names the columns."""
    if wants_csv(header(request, b"accept") or ""):
        more = {"x-has-more": str(has_more).lower()}
        columns = [field.alias or name for name, field in shape.model_fields.items() if name != "object"]
        return Response(_csv(columns, rows), media_type="text/csv; charset=utf-8", headers=more)
    first, last = (rows[0]["id"], rows[-1]["id"]) if rows else (None, None)
    page = {"object": "list", "data": list(rows), "first_id": first, "last_id": last, "has_more": has_more}
    return JsonAnswer(page)


def page_answer(request: Request, shape: type[BaseModel], kind: str, page: Page) -> Response:
    """The same for a page that a use case read. `kind` is the `object` of its rows."""
    rows = [{"object": kind, **row} for row in page.rows]
    return listed(request, shape, rows, has_more=page.has_more)


def wants_csv(accept: str) -> bool:
    """Whether a request with this header wants CSV: it names it, and does not like JSON better."""
    liked = {}
    for each in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        weights = [part.removeprefix("q=") for part in parameters if part.startswith("q=")]
        try:
            liked[kind] = float(weights[0]) if weights else 1.0
        except ValueError:
            liked[kind] = 0.0
    wish = liked.get("text/csv", 0.0)
    return wish > 0 and wish >= liked.get("application/json", 0.0)


def _csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    written = io.StringIO()
    lines = csv.writer(written, lineterminator="\r\n")
    lines.writerow(columns)
    lines.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return written.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return csv_text(None if value is None else str(value))
