"""Gallery: what is kept of my images of the last day, with what each cost and until when: behind links, and as jobs.
No prompt is there, because none is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from app.admin.reads.own_images import own_images
from app.admin.reads.requests import RequestFilter, list_requests
from app.api.endpoints.jobs import find_job, job_answer, job_json
from app.console.web.headers import PAGE_HEADERS
from app.console.web.visit import Visit
from app.database.clock import from_ms
from app.errors import Conflict
from app.quotas.reports.lists.requests import WantedRequests

PATH = "/console/me/gallery"
_DAY = timedelta(days=1)
_ROWS = 100


@dataclass(frozen=True, slots=True)
class KeptImage:
    """One image, and the link that opens it until then."""

    link: str
    size: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """What is kept of one request. `row` None: its job ended before anything was reserved."""

    request_id: str
    at: datetime
    row: dict[str, Any] | None
    images: Sequence[KeptImage]
    job: dict[str, Any] | None
    job_expires_at: datetime | None


async def show_gallery(visit: Visit) -> Response:
    """The newest requests of the last day of which something is kept."""
    return visit.page("gallery.html", kept=await _kept(visit))


async def show_job_answer(visit: Visit) -> Response:
    """The answer of one of the visitor's jobs, as the API gives it."""
    job = await find_job(visit.services, visit.request.path_params["id"], visit.user_id)
    if job.ended_at_ms is None:
        raise Conflict("This job still runs.")
    return await job_answer(visit.request, job, dict(PAGE_HEADERS))


async def delete_kept(visit: Visit) -> Response:
    """Deletes what is kept of one request. What was bought stays charged."""
    request_id, services = (await visit.form()).get("request"), visit.services
    since, user_id = visit.now - _DAY, visit.user_id
    files = (await visit.read(lambda operator: own_images(operator, since))).get(request_id, ())
    for file in files:
        await services.files.delete(file.id)
    for job in await services.jobs.newest(user_id, _ROWS, None):
        if job.request_id == request_id:
            await services.jobs.discard(job)
    return visit.to(PATH, "image-deleted")


async def _kept(visit: Visit) -> list[KeptRequest]:
    user_id, since = visit.user_id, visit.now - _DAY
    wanted = WantedRequests((("user_id", user_id),), since=since)
    files = await visit.read(lambda operator: own_images(operator, since))
    jobs = {job.request_id: job for job in await visit.services.jobs.newest(user_id, _ROWS, None)}
    page = await visit.read(lambda operator: list_requests(operator, RequestFilter(wanted, limit=_ROWS)))
    rows = {row["id"]: row for row in page.rows}
    kept = []
    for request_id in {*jobs, *(each for each in files if each in rows)}:
        row, job = rows.get(request_id), jobs.get(request_id)
        at = datetime.fromisoformat(row["reserved_at"]) if row else from_ms(job.created_at_ms) if job else since
        images = [
            # A path of this host: an image of another one would not be shown.
            KeptImage(
                visit.services.links.link("", file.id, file.content_type, file.expires_at), file.size, file.expires_at
            )
            for file in files.get(request_id, ())
        ]
        ends = None if job is None else from_ms(job.expires_at_ms)
        kept.append(KeptRequest(request_id, at, row, images, None if job is None else job_json(job), ends))
    return sorted(kept, key=lambda each: each.at, reverse=True)


PAGES = (("GET", PATH, show_gallery, None), ("POST", f"{PATH}/delete", delete_kept, None))
CALLS = (("GET", f"{PATH}/jobs/{{id}}", show_job_answer),)
"""What a script of ours calls: it reads errors in OpenAI's envelope."""
