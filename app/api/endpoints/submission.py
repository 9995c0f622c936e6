"""How a checked image request is answered: while its caller waits, or as a job."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from app.api.endpoints.jobs import POLL_SECONDS, job_answer, job_json, job_url, task_json
from app.api.routes import EDIT_JOBS, GENERATION_JOBS, TASKS
from app.api.services import event_of, services_of
from app.errors import GatewayError, InvalidRequest
from app.exchange.exchange import Exchange
from app.exchange.jobs.rules import Job, JobState
from app.exchange.jobs.running import NewJob, Submission
from app.exchange.replay.kept_response import deliver
from app.exchange.replay.rules import Ask
from app.exchange.replay.serving import Serving, caller_of
from app.identity.keys.authentication import Caller
from app.images.request.normalize import ImageRequest
from app.telemetry.event import Outcome, RequestEvent

_WAIT = re.compile(r"wait=([0-9]{1,9})")
_WAIT_SECONDS_MAX = 50  # many proxies cut at 60
_ALIASES = (GENERATION_JOBS, EDIT_JOBS)


class CheckedRequest(NamedTuple):
    """An image request that may be made. `new_exchange` makes what buys, for the event that is to be recorded of it;
    `on_end` is awaited when nothing of the request is needed any more."""

    caller: Caller
    image_request: ImageRequest
    ask: Ask
    new_exchange: Callable[[RequestEvent], Exchange]
    on_end: Callable[[], Awaitable[None]] | None = None


class Background(NamedTuple):
    """A request is to be a job. Its submission waits so long for its end. `is_task`: by the paths of other gateways."""

    wait_seconds: int
    is_task: bool


def background_of(request: Request) -> Background | None:
    """None: the caller waits for the answer. Of `Prefer`, what is not known is ignored, as RFC 7240 says."""
    preferences: list[str] = []
    for name, value in request.scope["headers"]:
        if name == b"prefer":
            preferences += [each.partition(b";")[0].strip().lower().decode("latin-1") for each in value.split(b",")]
    is_task = request.scope["path"] in _ALIASES
    if not is_task and "respond-async" not in preferences:
        return None
    waits = [int(found[1]) for found in map(_WAIT.fullmatch, preferences) if found]
    return Background(min(waits[0], _WAIT_SECONDS_MAX) if waits else 0, is_task)


def check_background(request: Request, image_request: ImageRequest) -> None:
    """Raises InvalidRequest for a job that is to be streamed."""
    if image_request.stream and background_of(request) is not None:
        message = "A job is not streamed: leave 'stream' out, or the Prefer header."
        raise InvalidRequest(message, param="stream", code="unsupported_parameter")


def run_or_submit(request: Request, checked: CheckedRequest) -> Response:
    """The response that makes the request."""
    event, background = event_of(request), background_of(request)
    caller, ask, on_end = checked.caller, checked.ask, checked.on_end
    if background is None:
        return Serving(services_of(request).replays, ask, caller.user_id, event, checked.new_exchange, on_end)
    return _SubmissionResponse(request, checked, background)


class _SubmissionResponse(Response):
    """Starts a job and says so; or has the job's answer, if it is there in time."""

    def __init__(self, request: Request, checked: CheckedRequest, background: Background) -> None:
        self.status_code = 202
        self.background = None
        self._request = request
        self._checked = checked
        self._wished = background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        services, event = services_of(self._request), event_of(self._request)
        own_event = replace(event, moments=event.moments and event.moments.of_job())
        operation, event.operation = event.operation, None  # the job's own event is recorded when the job ends
        downstream = caller_of(services.exchanges, receive, send)
        left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with closing(downstream):
            downstream.watch(partial(left.set_result, None))
            try:
                submission = await services.submissions.submit(self._new_job(own_event, left))
            except GatewayError:
                event.operation = operation
                if not own_event.is_reserved:  # what was tried for it belongs to the only span there will be
                    event.moments = own_event.moments
                raise
            event.is_reserved = True  # if this answer is cut, the job goes on
            if not submission.is_new:
                event.operation, event.outcome = operation, Outcome.REPLAYED
                event.replay, event.replay_of = "joined", submission.job.request_id
            try:
                job = await self._wait(submission, left)
                await deliver(await self._answer(job, submission, own_event), downstream)
            finally:
                await services.jobs.answered(submission, is_delivered=downstream.delivered)

    def _new_job(self, event: RequestEvent, left: "asyncio.Future[None]") -> NewJob:
        checked = self._checked

        async def on_end() -> None:
            if checked.on_end is not None:
                await checked.on_end()

        model = checked.image_request.model.name
        return NewJob(checked.caller, event, model, checked.ask, lambda: checked.new_exchange(event), on_end, left)

    async def _wait(self, submission: Submission, left: "asyncio.Future[None]") -> Job:
        """The job when its caller has waited long enough, or is gone."""
        if not self._wished.wait_seconds:
            return submission.job
        return await services_of(self._request).jobs.wait(submission.job, self._wished.wait_seconds, left)

    async def _answer(self, job: Job, submission: Submission, event: RequestEvent) -> Response:
        headers = {"x-gateway-replayed": "true"} if not submission.is_new else {}
        if job.state is not JobState.IN_PROGRESS and self._wished.wait_seconds:
            headers["preference-applied"] = f"respond-async, wait={self._wished.wait_seconds}"
            return await job_answer(self._request, job, headers)
        headers |= {"retry-after": str(POLL_SECONDS), "cache-control": "no-store"}
        headers["x-gateway-estimated-cost-usd"] = f"{(event.held_nanousd or 0) / 1e9:.6f}"
        if event.changes:
            headers["x-gateway-normalized"] = ", ".join(event.changes)
        if self._wished.is_task:
            return JSONResponse(task_json(job), 202, {**headers, "location": f"{TASKS}/{job.id}"})
        headers |= {"location": job_url(job), "preference-applied": "respond-async"}
        return JSONResponse(job_json(job), 202, headers)
