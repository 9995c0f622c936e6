"""Requests: those that ended and those that run, with filters in the address; the whole story of one."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from app.admin.access.permissions import Permission
from app.admin.reads.requests import Progress, RequestFilter, list_requests, show_request
from app.console.web.csv_answer import csv_answer
from app.console.web.visit import Visit
from app.errors import InvalidValue
from app.quotas.reports.lists.requests import WantedRequests

PATH = "/console/requests"
RESERVATIONS = "/console/reservations"
ROWS = 50
CSV_ROWS_MAX = 5_000
_STATES = {"": "every state", "live": "running", "settled": "settled", "released": "released", "expired": "expired"}
_COLUMNS = ("user_id", "key_id", "team_id", "model", "operation", "outcome")
_CSV = (
    *("id", "reserved_at", "user", "key_id", "team", "model", "operation", "size", "quality", "state", "outcome"),
    *("charged_images", "charged_tokens", "charged_usd", "duration_ms"),
)


async def show_requests(visit: Visit) -> Response:
    """The page, or a CSV file of the newest that fit the filters."""
    state, asked = visit.asked("state"), {name: visit.asked(name) for name in _COLUMNS if visit.asked(name)}
    if state not in _STATES:
        raise InvalidValue(f"There is no state {state!r}; there are {', '.join(filter(None, _STATES))}.")
    is_live, is_csv = state == "live", visit.asked("format") == "csv"
    values = tuple(asked.items()) + ((("state", state),) if state and not is_live else ())
    wanted = WantedRequests(values, is_pending=is_live)
    limit = CSV_ROWS_MAX if is_csv else ROWS
    chosen = RequestFilter(wanted, visit.asked("after") or None, limit)
    in_flight = in_flight_here(visit)
    page = await visit.read(lambda operator: list_requests(operator, chosen, in_flight))
    if is_csv:
        return csv_answer("requests", _CSV, ([row[name] for name in _CSV] for row in page.rows))
    kept = {**asked, **({"state": state} if state else {})}
    return visit.page(
        "requests.html",
        rows=page.rows,
        states=_STATES,
        state=state,
        asked=asked,
        models=[spec.id for spec in visit.services.policy.catalog.models],
        older=_address({**kept, "after": page.rows[-1]["id"]}) if page.has_more else None,
        csv=_address({**kept, "format": "csv"}),
        without=lambda name: _address({key: value for key, value in kept.items() if key != name}),
        adding=lambda **more: _address({**kept, **more}),
    )


async def show_one_request(visit: Visit) -> Response:
    """One request: what it held and cost, how it ended, and when."""
    request_id, in_flight = visit.request.path_params["id"], in_flight_here(visit)
    found = await visit.read(lambda operator: show_request(operator, request_id, in_flight))
    return visit.page("request.html", row=found)


async def show_reservations(visit: Visit) -> Response:
    """What is held now, the oldest first, and whether the process that holds it lives."""
    chosen, in_flight = RequestFilter(WantedRequests(is_pending=True), None, ROWS), in_flight_here(visit)
    page = await visit.read(lambda operator: list_requests(operator, chosen, in_flight))
    template = "reservations_part.html" if visit.is_partial else "reservations.html"
    return visit.page(template, rows=page.rows, has_more=page.has_more)


def in_flight_here(visit: Visit) -> Callable[[str], Progress | None]:
    """What this process knows of the requests that it runs, copied now: use cases run in threads."""
    progress = visit.services.exchanges.progress()
    return lambda request_id: Progress(*progress[request_id]) if request_id in progress else None


def _address(query: dict[str, Any]) -> str:
    return f"{PATH}?{urlencode(query)}" if query else PATH


PAGES = (
    ("GET", PATH, show_requests, Permission.READ_USAGE),
    ("GET", f"{PATH}/{{id}}", show_one_request, Permission.READ_USAGE),
    ("GET", RESERVATIONS, show_reservations, Permission.READ_USAGE),
)
