"""/v1/images/jobs: what became of requests whose callers do not wait. A job is seen by its key's user alone."""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from app.api.error_responses import error_response, wire_error
from app.api.routes import JOBS, TASKS
from app.api.services import Services, authenticated, services_of
from app.errors import Draining, FileGone, GatewayError, Interrupted, InvalidRequest, JobNotFound, JobWithoutAnswer
from app.exchange.jobs.rules import Job, JobState
from app.exchange.replay.kept import KeptAnswer
from app.exchange.replay.kept_response import KeptResponse

router = APIRouter()

POLL_SECONDS = 3
_ID = re.compile(r"job_[0-9a-z_-]{1,60}")
_LISTED_MAX = 100
_GONE = (
    "The answer of this job is kept no longer: the gateway needed the room for newer ones. It was bought and charged."
)
_NO_STORE = {"cache-control": "no-store"}
_SMALL_BYTES = 65_536  # an answer with links, which is read to find the first
_TASK_STATES = {JobState.IN_PROGRESS: "processing", JobState.COMPLETED: "completed"}  # of others: failed


@router.get(JOBS)
async def list_jobs(request: Request) -> dict[str, Any]:
    """Your jobs, the newest first, without their answers."""
    caller = await authenticated(request)
    written = request.query_params.get("limit", "20")
    if not (written.isascii() and written.isdigit() and len(written) <= 3 and 1 <= int(written) <= _LISTED_MAX):
        raise InvalidRequest(f"'limit' is 1 to {_LISTED_MAX}.", param="limit", code="invalid_value")
    limit = int(written)
    after = request.query_params.get("after")
    if after is not None and not _ID.fullmatch(after):
        raise InvalidRequest("'after' is the id of a job.", param="after", code="invalid_value")
    found = await services_of(request).jobs.newest(caller.user_id, limit + 1, after)
    shown = found[:limit]
    return {
        "object": "list",
        "data": [job_json(job) for job in shown],
        "first_id": shown[0].id if shown else None,
        "last_id": shown[-1].id if shown else None,
        "has_more": len(found) > limit,
    }


@router.get(f"{JOBS}/{{job_id}}")
async def show_job(request: Request, job_id: str) -> Response:
    """A job, with its answer once it is completed, or its error."""
    job = await _find(request, job_id)
    if job.state is JobState.IN_PROGRESS:
        return JSONResponse(job_json(job), headers={**_NO_STORE, "retry-after": str(POLL_SECONDS)})
    answer = await services_of(request).jobs.open(job)
    if answer is None:
        return JSONResponse(_without_result(job, job_json(job)), headers=_NO_STORE)
    return _around(request, answer, job_json(job))


@router.get(f"{JOBS}/{{job_id}}/result")
async def show_result(request: Request, job_id: str) -> Response:
    """The answer that the direct call would have given, or its error; the job itself while it runs."""
    job = await _find(request, job_id)
    if job.state is JobState.IN_PROGRESS:
        return JSONResponse(job_json(job), 202, {**_NO_STORE, "retry-after": str(POLL_SECONDS)})
    return await job_answer(request, job, {})


@router.delete(f"{JOBS}/{{job_id}}")
async def delete_job(request: Request, job_id: str) -> dict[str, Any]:
    """Cancels a job that is not sent yet. Any other is forgotten, with its answer; what was bought is charged."""
    job = await _find(request, job_id)
    left = await services_of(request).jobs.discard(job)
    return {"id": job.id, "object": "image.job.deleted", "deleted": True} if left is None else job_json(left)


@router.get(f"{TASKS}/{{task_id}}")
async def show_task(request: Request, task_id: str) -> Response:
    """A job, in the form that other gateways give tasks."""
    job = await _find(request, task_id)
    if job.state is JobState.IN_PROGRESS:
        return JSONResponse(task_json(job), headers={**_NO_STORE, "retry-after": str(POLL_SECONDS)})
    answer, fields = await services_of(request).jobs.open(job), task_json(job)
    if answer is None:
        return JSONResponse(_without_result(job, fields), headers=_NO_STORE)
    if (answer.head.content_length or 0) <= _SMALL_BYTES:
        whole = orjson.loads(b"".join([chunk async for chunk in answer.body]))
        fields["image_url"] = next((image["url"] for image in whole.get("data") or [] if "url" in image), None)
        return JSONResponse({**fields, "result": whole}, headers=_NO_STORE)
    return _around(request, answer, fields)


def _without_result(job: Job, fields: dict[str, Any]) -> dict[str, Any]:
    """A completed job whose answer is kept no longer says so."""
    return fields | {"error": wire_error(FileGone(_GONE)).error} if job.state is JobState.COMPLETED else fields


async def _find(request: Request, job_id: str) -> Job:
    caller = await authenticated(request)
    return await find_job(services_of(request), job_id, caller.user_id)


async def find_job(services: Services, job_id: str, user_id: str) -> Job:
    """That job of that user. Raises JobNotFound, StoreUnavailable."""
    job = await services.jobs.find(job_id, user_id) if _ID.fullmatch(job_id) else None
    if job is None:
        raise JobNotFound("There is no such job of yours. Jobs are forgotten after a time: GATEWAY_JOB_SECONDS.")
    return job


async def job_answer(request: Request, job: Job, headers: dict[str, str]) -> Response:
    """The answer of a job that has ended. Raises JobWithoutAnswer, FileGone."""
    services, headers = services_of(request), {**_NO_STORE, **headers}
    if job.state is JobState.COMPLETED:
        answer = await services.jobs.open(job)
        if answer is None:
            raise FileGone(_GONE)
        kept = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.head.headers}
        return KeptResponse(services.exchanges, answer, kept | headers)
    if job.state is JobState.CANCELLED:
        raise JobWithoutAnswer("This job was cancelled before it was sent. Nothing was bought.")
    headers |= {"content-type": "application/json", "x-should-retry": "false"}
    if job.error is not None:
        return Response(job.error, job.error_status or 500, headers)
    answer_of_unended = error_response(wire_error(_unended(job)))
    answer_of_unended.headers.update(headers)
    return answer_of_unended


def job_url(job: Job) -> str:
    """Where a job is found."""
    return f"{JOBS}/{job.id}"


def job_json(job: Job) -> dict[str, Any]:
    """A job without its answer."""
    fields = {
        "id": job.id,
        "object": "image.job",
        "status": job.state.value,
        "operation": job.operation,
        "model": job.model,
        "request_id": job.request_id,
        "created_at": job.created_at_ms // 1000,
        "completed_at": None if job.ended_at_ms is None else job.ended_at_ms // 1000,
        "expires_at": job.expires_at_ms // 1000,
        "poll_url": job_url(job),
        "error": _error(job),
    }
    return fields | {"result": None}


def task_json(job: Job) -> dict[str, Any]:
    """The same record as other gateways write it."""
    return {
        "id": job.id,
        "task_id": job.id,
        "object": "image.generation.task",
        "status": _TASK_STATES.get(job.state, "failed"),
        "created_at": job.created_at_ms // 1000,
        "completed_at": None if job.ended_at_ms is None else job.ended_at_ms // 1000,
        "expires_at": job.expires_at_ms // 1000,
        "poll_url": f"{TASKS}/{job.id}",
        "http_status": _http_status(job),
        "image_url": None,
        "error": _error(job),
        "result": None,
    }


def _http_status(job: Job) -> int | None:
    if job.state is JobState.IN_PROGRESS:
        return None
    return 200 if job.state is JobState.COMPLETED else job.error_status or wire_error(_unended(job)).status


def _error(job: Job) -> Mapping[str, Any] | None:
    if job.state in (JobState.IN_PROGRESS, JobState.COMPLETED):
        return None
    if job.error is None:
        return wire_error(_unended(job)).error
    error: dict[str, Any] = orjson.loads(job.error)["error"]
    return error


def _unended(job: Job) -> GatewayError:
    """Of a job whose process died with it."""
    if job.state is JobState.INCOMPLETE:
        return Interrupted(
            "The gateway stopped before the image was there. The request was sent to ZenMux and is charged; "
            "submitting it again buys a second image."
        )
    return Draining("The gateway stopped before the request was sent. Nothing was bought; submit it again.")


def _around(request: Request, answer: KeptAnswer, fields: dict[str, Any]) -> Response:
    """The fields with the answer as their `result`, which no memory ever holds."""
    before, _, after = orjson.dumps({**fields, "result": 0}).rpartition(b"0")
    headers = {**_NO_STORE, "content-type": "application/json"}
    return KeptResponse(services_of(request).exchanges, answer, headers, (before, after))
