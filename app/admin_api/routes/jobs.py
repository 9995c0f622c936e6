"""/admin/v1/jobs: what became of requests whose callers do not wait, without prompts and answers; cancel one."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from app.admin.reads.jobs import JobFilter, cancel_job, list_jobs, show_job
from app.admin_api.calls import ChangingCall, NoQuery, ReadingCall, thing
from app.admin_api.filters import TimesQuery
from app.admin_api.lists import page_answer
from app.admin_api.requests import StrictRoute, of_field
from app.admin_api.shapes.basics import DryRunShape, ListShape
from app.admin_api.shapes.records import JobShape
from app.errors import StoreUnavailable
from app.exchange.jobs.rules import JobState

router = APIRouter(prefix="/admin/v1/jobs", tags=["jobs"], route_class=StrictRoute)

JobId = Annotated[str, Path(description="Its id, which its submission was answered with.", max_length=200)]
_CANCEL_SECONDS_MAX = 10.0


class JobsQuery(TimesQuery):
    """Which jobs."""

    user: str | None = Field(None, description="Only of the user with this name or id.", max_length=200)
    status: JobState | None = Field(None, description="Only those with this status.")


@router.get("", response_model=ListShape[JobShape])
async def list_all_jobs(request: Request, call: ReadingCall, asked: Annotated[JobsQuery, Query()]) -> Response:
    """Jobs that are kept, the newest first. No prompts, no answers."""
    running = frozenset(call.services.jobs.running)
    wished = JobFilter(asked.user, asked.status, asked.since, asked.until, asked.after, asked.limit)
    with of_field("after"):
        return await call.answer(
            lambda operator: page_answer(request, JobShape, "job", list_jobs(operator, wished, running))
        )


@router.get("/{job_id}", response_model=JobShape)
async def show_one_job(job_id: JobId, call: ReadingCall, _: NoQuery) -> Response:
    """One job."""
    running = frozenset(call.services.jobs.running)
    return await call.show("job", lambda operator: show_job(operator, job_id, running))


@router.post("/{job_id}/cancel", response_model=JobShape | DryRunShape)
async def cancel_one_job(job_id: JobId, call: ChangingCall) -> Response:
    """Cancels a job that is not sent to ZenMux yet: nothing is bought. Any other is 409."""
    loop, jobs = asyncio.get_running_loop(), call.services.jobs

    async def cancel(request_id: str, *, is_trial: bool) -> bool:
        return jobs.cancel(request_id, is_trial=is_trial)

    def from_thread(request_id: str, *, is_trial: bool) -> bool:
        asked = asyncio.run_coroutine_threadsafe(cancel(request_id, is_trial=is_trial), loop)
        try:
            return asked.result(_CANCEL_SECONDS_MAX)
        except TimeoutError:
            raise StoreUnavailable("This gateway is too busy to say whether the job ends. Look at the job.") from None

    return await call.change(
        lambda operator: cancel_job(operator, job_id, from_thread), lambda done: thing("job", done)
    )
