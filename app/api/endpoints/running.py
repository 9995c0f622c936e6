"""How a checked image request is run: while its caller waits, or as a job."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from app.api.endpoints.jobs import POLL_SECONDS, job_answer, job_json, job_url, task_json
from app.api.headers import header
from app.api.routes import EDIT_JOBS, GENERATION_JOBS, TASKS
from app.api.services import event_of, services_of
from app.errors import GatewayError, InvalidRequest
from app.exchange.exchange import Exchange
from app.exchange.jobs.jobs import NewJob
from app.files.uploads import UploadFile
from app.identity.keys.authentication import Caller
from app.images.request.normalize import ImageRequest
from app.telemetry.event import RequestEvent

_WAIT = re.compile(r"wait=([0-9]{1,9})")
_WAIT_SECONDS_MAX = 60
_ALIASES = (GENERATION_JOBS, EDIT_JOBS)


class Background(NamedTuple):
    """A request is to be a job. Its submission waits so long for its end. `is_task`: by the paths of other gateways."""

    wait_seconds: int
    is_task: bool


def background_of(request: Request) -> Background | None:
    """None: the caller waits for the answer. Of `Prefer`, what is not known is ignored, as RFC 7240 says."""
    if request.scope["path"] in _ALIASES:
        return Background(0, is_task=True)
    written = header(request, b"prefer")
    if written is None:
        return None
    preferences = [each.partition(";")[0].strip().lower() for each in written.split(",")]
    if "respond-async" not in preferences:
        return None
    waits = [int(found[1]) for found in map(_WAIT.fullmatch, preferences) if found]
    return Background(min(waits[0], _WAIT_SECONDS_MAX) if waits else 0, is_task=False)


def check_background(request: Request, image_request: ImageRequest) -> None:
    """Raises InvalidRequest for a job that is to be streamed."""
    if image_request.stream and background_of(request) is not None:
        message = "A job is not streamed: leave 'stream' out, or the Prefer header."
        raise InvalidRequest(message, param="stream", code="unsupported_parameter")


def run_or_submit(
    request: Request,
    caller: Caller,
    image_request: ImageRequest,
    new_exchange: Callable[[RequestEvent], Exchange],
    upload: UploadFile | None = None,
) -> Response:
    """The response that runs it. `upload` is closed at its end."""
    event, background = event_of(request), background_of(request)
    if background is None:
        exchange = new_exchange(event)
        return exchange if upload is None else _Edit(exchange, upload)
    own_event = replace(event, moments=None)
    exchange = new_exchange(own_event)
    new = NewJob(caller, own_event, image_request.model.name, exchange, None if upload is None else upload.aclose)
    return _Submission(request, new, background)


class _Edit(Response):
    """An exchange whose upload goes with it."""

    def __init__(self, exchange: Exchange, upload: UploadFile) -> None:
        self.status_code = exchange.status_code
        self.background = None
        self._exchange = exchange
        self._upload = upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._exchange(scope, receive, send)
        finally:
            await self._upload.aclose()


class _Submission(Response):
    """Starts a job and says so; or has the job's answer, if it is there in time."""

    def __init__(self, request: Request, new: NewJob, background: Background) -> None:
        self.status_code = 202
        self.background = None
        self._request = request
        self._new = new
        self._wished = background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        new, event, jobs = self._new, event_of(self._request), services_of(self._request).jobs
        operation, event.operation = event.operation, None  # the job's own event is recorded when the job ends
        try:
            running = await jobs.submit(new)
        except GatewayError:
            event.operation = operation
            raise
        event.is_reserved = True  # if this answer is cut, the job goes on
        if await jobs.wait(running, self._wished.wait_seconds):
            job = await jobs.find(running.job.id, new.caller.user_id)
            if job is not None:
                applied = {"preference-applied": f"respond-async, wait={self._wished.wait_seconds}"}
                response = await job_answer(self._request, job, applied | self._own_headers())
                await response(scope, receive, send)
                return
        await self._accepted(running.job.id, scope, receive, send)

    async def _accepted(self, job_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        job = await services_of(self._request).jobs.find(job_id, self._new.caller.user_id)
        assert job is not None, "it was just submitted"
        headers = {**self._own_headers(), "retry-after": str(POLL_SECONDS), "cache-control": "no-store"}
        if self._wished.is_task:
            headers["location"] = f"{TASKS}/{job.id}"
            body = task_json(job)
        else:
            headers["location"] = job_url(job)
            headers["preference-applied"] = "respond-async"
            body = job_json(job)
        await JSONResponse(body, 202, headers)(scope, receive, send)

    def _own_headers(self) -> dict[str, str]:
        event = self._new.event
        headers = {"x-gateway-estimated-cost-usd": f"{(event.held_nanousd or 0) / 1e9:.6f}"}
        if event.changes:
            headers["x-gateway-normalized"] = ", ".join(event.changes)
        return headers
