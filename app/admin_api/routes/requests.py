"""/admin/v1/requests and /admin/v1/reservations: what was asked for, what runs, what it holds and cost."""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from app.admin.operator import Operator
from app.admin.reads.requests import Progress, RequestFilter, list_requests, show_request
from app.admin_api.calls import NoQuery, Reading, ReadingCall
from app.admin_api.filters import OwnersQuery, Word
from app.admin_api.lists import PageQuery, page_answer
from app.admin_api.requests import StrictRoute, of_field
from app.admin_api.shapes.basics import ListShape
from app.admin_api.shapes.records import RequestShape
from app.quotas.reports.lists.requests import WantedRequests

router = APIRouter(prefix="/admin/v1", tags=["requests"], route_class=StrictRoute)

RequestId = Annotated[str, Path(description="Its id, which its answer had as x-request-id.", max_length=200)]


class ReservationsQuery(OwnersQuery):
    """Which requests that run."""

    model: Word = Field(None, description="By its full id.")
    operation: Word = None
    account: Word = None


class RequestsQuery(ReservationsQuery):
    """Which requests."""

    state: Literal["live", "settled", "released", "expired"] | None = Field(
        None, description="`live`: those that run, the oldest first, with their age."
    )
    outcome: Word = None


@router.get("/requests", response_model=ListShape[RequestShape])
async def list_all_requests(request: Request, call: ReadingCall, asked: Annotated[RequestsQuery, Query()]) -> Response:
    """Requests that were admitted, the newest first. Never a prompt, never an image."""
    values = asked.columns("model", "operation", "outcome", "account")
    is_live = asked.state == "live"
    if asked.state is not None and not is_live:
        values = (*values, ("state", asked.state))
    return await _listed(request, call, asked, WantedRequests(values, asked.since, asked.until, is_live))


@router.get("/requests/{request_id}", response_model=RequestShape)
async def show_one_request(request_id: RequestId, call: ReadingCall, _: NoQuery) -> Response:
    """One request."""
    in_flight = _in_flight(call)
    return await call.show("request", lambda operator: show_request(operator, request_id, in_flight))


@router.get("/reservations", response_model=ListShape[RequestShape])
async def list_all_reservations(
    request: Request, call: ReadingCall, asked: Annotated[ReservationsQuery, Query()]
) -> Response:
    """What is held now, the oldest first: how much, for whom, since when, and whether its process lives."""
    values = asked.columns("model", "operation", "account")
    return await _listed(request, call, asked, WantedRequests(values, asked.since, asked.until, is_pending=True))


async def _listed(request: Request, call: Reading, asked: PageQuery, wanted: WantedRequests) -> Response:
    in_flight, wished = _in_flight(call), RequestFilter(wanted, asked.after, asked.limit)

    def answer(operator: Operator) -> Response:
        return page_answer(request, RequestShape, "request", list_requests(operator, wished, in_flight))

    with of_field("after"):
        return await call.answer(answer)


def _in_flight(call: Reading) -> Callable[[str], Progress | None]:
    """What this process knows, copied now: the use case runs in a thread."""
    progress = call.services.exchanges.progress()
    return lambda request_id: Progress(*progress[request_id]) if request_id in progress else None
