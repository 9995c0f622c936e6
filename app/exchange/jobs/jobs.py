"""Runs image requests whose callers do not wait: each begins at once or is refused, and its answer goes to a file."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from app.database.clock import to_ms
from app.database.readers import Readers
from app.errors import ClientLeft, FilesUnavailable, GatewayError, Interrupted, StoreUnavailable
from app.exchange.exchange import Exchange
from app.exchange.in_flight import READ_ON_SECONDS, SETTLE_SECONDS_MAX, Exchanges
from app.exchange.jobs.downstream import JobDownstream
from app.exchange.jobs.rules import Job, JobState
from app.exchange.jobs.table import JobTable
from app.files.store.index import Kind, Owner
from app.files.store.store import FileStore, OpenFile
from app.files.store.writer import FileWriter
from app.identity.keys.authentication import Caller
from app.telemetry.event import RequestEvent

logger = logging.getLogger("gateway")

T = TypeVar("T")

_TABLE_AT_A_TIME = 2  # of the pool's 10 connections
_TABLE_SECONDS_MAX = 10.0
_CANCEL_SECONDS_MAX = 2.0
STOPPED_JOB_SECONDS = READ_ON_SECONDS + SETTLE_SECONDS_MAX + 2 * _TABLE_SECONDS_MAX
"""How long a job may still take after a forced stop: for its answer, its settlement, its file and its row."""
_CONTENT_TYPE = "application/json"


@dataclass(slots=True)
class NewJob:
    """What a job runs. `event` is the job's own: it is recorded when the job ends. `on_end` is awaited then."""

    caller: Caller
    event: RequestEvent
    model: str
    exchange: Exchange
    on_end: Callable[[], Awaitable[None]] | None = None


@dataclass(slots=True)
class RunningJob:
    """A job of this process."""

    job: Job
    event: RequestEvent
    downstream: JobDownstream
    task: "asyncio.Task[None]"


class Jobs:
    """All jobs of one database, seen from one process. `seconds`: how long a job is kept. `record` is called once with
    the event of each that ended, `show` with the number of jobs of this process in a state whenever it changes."""

    def __init__(
        self,
        exchanges: Exchanges,
        files: FileStore,
        table: JobTable,
        seconds: float,
        record: Callable[[RequestEvent], None],
        show: Callable[[str, int], None],
    ) -> None:
        self._exchanges = exchanges
        self._files = files
        self._table = table
        self._seconds = seconds
        self._record = record
        self._show = show
        self._readers = Readers(_TABLE_AT_A_TIME, "jobs")
        self._running: dict[str, RunningJob] = {}
        self._counts: Counter[str] = Counter()

    async def submit(self, new: NewJob) -> RunningJob:
        """Starts a job; returns once its hold is taken. Raises GatewayError if it is refused: nothing was bought."""
        try:
            self._files.require_shared()
            owner, request_id = Owner(new.caller.key_id, new.caller.user_id), new.event.request_id
            file = await self._files.create(Kind.ANSWER, owner, request_id, _CONTENT_TYPE, self._seconds)
        except BaseException:
            await _end(new)
            raise
        now = self._exchanges.clock()
        job = Job(
            id=f"job_{request_id.removeprefix('req_')}",
            request_id=request_id,
            key_id=owner.key_id,
            user_id=owner.user_id,
            operation=new.event.operation or "",
            model=new.model,
            state=JobState.IN_PROGRESS,
            created_at_ms=to_ms(now),
            expires_at_ms=to_ms(now + timedelta(seconds=self._seconds)),
        )
        try:
            await self._ask(partial(self._table.add, job))
        except BaseException:
            await file.abort()
            await _end(new)
            raise
        downstream = JobDownstream(file, new.event, self._exchanges.monotonic)
        task = self._exchanges.tasks.start(self._run(job, new, downstream, file), "a job")
        running = self._running[job.id] = RunningJob(job, new.event, downstream, task)
        self._count(JobState.IN_PROGRESS, 1)
        await asyncio.shield(downstream.admitted)
        return running

    async def _run(self, job: Job, new: NewJob, downstream: JobDownstream, file: FileWriter) -> None:
        error: GatewayError | None = None
        try:
            await new.exchange.run(downstream)
        except GatewayError as raised:
            error = raised
        except Exception:
            logger.exception("fault", extra={"request_id": job.request_id})
            error = GatewayError("")
        try:
            await _end(new)
            if downstream.admitted.done():
                await self._conclude(job, new.event, downstream, file, error)
            else:
                await file.abort()
                with suppress(StoreUnavailable):  # without a reservation it counts as failed, soon
                    await self._ask(partial(self._table.remove, job.id))
                downstream.admitted.set_exception(error or GatewayError(""))
        finally:
            error = downstream.error = None  # break the cycle error → traceback → frame → error
            self._running.pop(job.id, None)
            self._count(JobState.IN_PROGRESS, -1)

    async def _conclude(
        self,
        job: Job,
        event: RequestEvent,
        downstream: JobDownstream,
        file: FileWriter,
        error: GatewayError | None,
    ) -> None:
        if error is None:
            error = downstream.loss if downstream.is_whole else downstream.error
        if error is None and downstream.is_whole:
            try:
                await file.commit()
            except FilesUnavailable as lost:
                error = lost
        await file.abort()  # does nothing to a whole one
        ended = replace(job, ended_at_ms=to_ms(self._exchanges.clock()), state=JobState.COMPLETED, file_id=file.id)
        if error is not None or not downstream.is_whole:
            answer = self._exchanges.error_response(error or GatewayError(""))
            state = JobState.INCOMPLETE if isinstance(error, Interrupted) else JobState.FAILED
            if isinstance(error, ClientLeft):
                state = JobState.CANCELLED
            ended = replace(ended, state=state, file_id=None, error_status=answer.status_code)
            ended = replace(ended, error=bytes(answer.body).decode())
        error = None
        event.status, event.ended_at = ended.error_status or 200, self._exchanges.monotonic()
        self._record(event)
        self._count(ended.state, 1)
        try:
            is_wanted = await self._ask(partial(self._table.end, ended))
        except StoreUnavailable:
            # Its reservation, written from the spool, tells how it ended; its answer is lost.
            logger.exception("job_not_ended", extra={"request_id": job.request_id})
            is_wanted = False
        if not is_wanted:
            await self._delete_file(ended.file_id)

    async def wait(self, running: RunningJob, seconds: float) -> bool:
        """Whether it has ended, within `seconds`."""
        if seconds and not running.task.done():
            await asyncio.wait({running.task}, timeout=seconds)
        return bool(seconds) and running.task.done()

    async def find(self, job_id: str, user_id: str) -> Job | None:
        """The job as it is now; None if there is none of this user. Raises StoreUnavailable."""
        found = await self._ask(partial(self._table.find, job_id, user_id, self._now_ms()))
        return found and self._seen_from_here(found)

    async def newest(self, user_id: str, count: int, after: str | None) -> list[Job]:
        """Raises StoreUnavailable."""
        found = await self._ask(partial(self._table.newest, user_id, self._now_ms(), count, after))
        return [self._seen_from_here(job) for job in found]

    async def open(self, job: Job) -> OpenFile | None:
        """The answer of a completed job; None if it is kept no longer. Raises FilesUnavailable, StoreUnavailable."""
        return None if job.file_id is None else await self._files.open(job.file_id)

    async def discard(self, job: Job) -> Job | None:
        """Cancels a job of this process that is not sent yet. Any other is forgotten: returns None."""
        running = self._running.get(job.id)
        if running is not None and running.event.dispatched_at is None:
            running.downstream.cancel()
            await asyncio.wait({running.task}, timeout=_CANCEL_SECONDS_MAX)
            return await self.find(job.id, job.user_id)
        await self._ask(partial(self._table.remove, job.id))
        await self._delete_file(job.file_id)
        return None

    async def close(self, seconds: float) -> int:
        """Waits until no job runs. Returns how many still do after `seconds`."""
        tasks = {running.task for running in self._running.values()}
        if not tasks:
            return 0
        _, pending = await asyncio.wait(tasks, timeout=seconds)
        return len(pending)

    def _seen_from_here(self, job: Job) -> Job:
        """A job that runs here is in progress, whatever its reservation looks like."""
        return replace(job, state=JobState.IN_PROGRESS) if job.id in self._running and job.ended_at_ms is None else job

    async def _delete_file(self, file_id: str | None) -> None:
        if file_id is not None:
            with suppress(FilesUnavailable, StoreUnavailable):  # it expires
                await self._files.delete(file_id)

    def _count(self, state: JobState, change: int) -> None:
        self._counts[state] += change
        self._show(state.value, self._counts[state])

    def _now_ms(self) -> int:
        return to_ms(self._exchanges.clock())

    async def _ask(self, question: Callable[[], T]) -> T:
        return await self._readers.run(question, _TABLE_SECONDS_MAX)


async def _end(new: NewJob) -> None:
    on_end, new.on_end = new.on_end, None
    if on_end is not None:
        await on_end()
