"""/v1/organization: OpenAI's own reports of usage and costs, so that its SDK is a client of ours."""

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.admin.access.permissions import Permission, permit
from app.admin.operator import Operator
from app.admin.reads.usage_series import read_series
from app.admin_api.calls import ReadingCall
from app.admin_api.json_answers import JsonAnswer
from app.admin_api.openai_reports import COSTS, USAGE, AskedReport, Report, costs_page, parse_report, usage_page
from app.admin_api.requests import StrictRoute, of_field
from app.admin_api.shapes.reports import CostsResultShape, ReportShape, UsageResultShape
from app.quotas.reports.lists.series import SeriesRow

router = APIRouter(prefix="/v1/organization", tags=["organization"], route_class=StrictRoute)

Print = Callable[[AskedReport, Iterable[SeriesRow]], dict[str, Any]]

_ABOUT = {
    "project_ids": "Teams, by name or id.",
    "user_ids": "Users, by name or id.",
    "api_key_ids": "Keys, by their public ids.",
    "models": "Models, by their full ids.",
    "sizes": "Such as `1024x1024`.",
    "sources": "`image.generation`, `image.edit`, `image.variation`.",
    "line_items": "Such as `openai/gpt-image-2, images`.",
}


def _parameters(report: Report) -> dict[str, Any]:
    """What the document says of a report's query: it is read by our own rules, as OpenAI's SDKs write it."""

    def described(name: str, about: str, schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
        return {"name": name, "in": "query", "required": required, "description": about, "schema": schema}

    seconds = {"type": "integer", "minimum": 0, "maximum": 7_258_118_400}
    texts = {"type": "array", "items": {"type": "string", "pattern": "^[^,]*$"}}
    buckets = "; ".join(f"`{width}`: {usual}, up to {most}" for width, (usual, most) in report.limits.items())
    most = max(most for _, most in report.limits.values())
    words = {"type": "array", "items": {"type": "string", "enum": list(report.words)}}
    found = [
        described("start_time", "From then on, in seconds since 1970.", seconds, required=True),
        described("end_time", "Before then, in seconds since 1970; left out: until now.", seconds),
        described(
            "bucket_width", "How long one sum is.", {"type": "string", "enum": list(report.limits), "default": "1d"}
        ),
        described("limit", f"Buckets of a page. {buckets}.", {"type": "integer", "minimum": 1, "maximum": most}),
        described("page", "The `next_page` of the page before.", {"type": "string"}),
        described("group_by", "Split by these: repeated, or with commas.", words),
        *(described(name, f"Only of these. {_ABOUT[name]}", texts) for name in report.filters),
    ]
    return {"parameters": found}


@router.get("/usage/images", response_model=ReportShape[UsageResultShape], openapi_extra=_parameters(USAGE))
async def report_usage_of_images(request: Request, call: ReadingCall) -> Response:
    """Images and requests, by minute, hour or day (UTC). A project is a team, an api_key_id the public id of a key."""
    return await _report(request, call, USAGE, usage_page)


@router.get("/costs", response_model=ReportShape[CostsResultShape], openapi_extra=_parameters(COSTS))
async def report_costs(request: Request, call: ReadingCall) -> Response:
    """Costs by day (UTC). `amount_nanousd` is exact."""
    return await _report(request, call, COSTS, costs_page)


async def _report(request: Request, call: ReadingCall, report: Report, shown: Print) -> Response:
    permit(call.principal, Permission.READ_GATEWAY)
    asked = parse_report(report, request.query_params.multi_items(), call.services.clock())

    def answer(operator: Operator) -> Response:
        return JsonAnswer(shown(asked, read_series(operator, asked.series)))

    with of_field("start_time"):
        return await call.answer(answer)
