"""Makes jobs of image requests: each begins at once or is refused, and goes on without its caller. A request that was
made before has the job of that one.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from functools import partial

from app.errors import GatewayError, IdempotencyInProgress, StoreUnavailable
from app.exchange.in_flight import READ_ON_SECONDS, SETTLE_SECONDS_MAX
from app.exchange.jobs.downstream import JobDownstream
from app.exchange.jobs.jobs import TABLE_SECONDS_MAX, Jobs
from app.exchange.jobs.rules import Job, JobEnding, JobState, ended, job_id
from app.exchange.jobs.running import NewJob, RunningJob, Submission, Taken
from app.exchange.replay.answering import answer_lost
from app.exchange.replay.attempts import Attempt
from app.exchange.replay.replays import Incoming, Replays
from app.exchange.replay.rules import Action, AttemptState, Known, ReplayDecision
from app.exchange.tasks import Tasks
from app.quotas.ledger.attempts.rows import AttemptRow
from app.telemetry.event import RequestEvent

logger = logging.getLogger("gateway")

Accepted = asyncio.Future[Submission]

_DECISIONS_MAX = 10
STOPPED_JOB_SECONDS = READ_ON_SECONDS + SETTLE_SECONDS_MAX + 2 * TABLE_SECONDS_MAX
"""How long a job may still take after a forced stop: for its answer, its settlement, its file and its row."""


class Submissions:
    """`seconds`: how long a job is kept. `record` is called once with the event of each that ended."""

    def __init__(
        self,
        jobs: Jobs,
        replays: Replays,
        seconds: float,
        record: Callable[[RequestEvent], None],
    ) -> None:
        self.jobs = jobs
        self._replays = replays
        self._records = replays.records
        self._exchanges = replays.exchanges
        self._seconds = seconds
        self._record = record
        self._tasks = Tasks()

    async def submit(self, new: NewJob) -> Submission:
        """Returns once the hold of the job is taken, and its row is written. Raises GatewayError if it is refused."""
        accepted: Accepted = asyncio.get_running_loop().create_future()
        accepted.add_done_callback(_look_at)  # whoever submitted it may be gone
        self._tasks.start(self._serve(new, accepted), "a job")
        return await asyncio.shield(accepted)

    async def close(self, seconds: float) -> int:
        """Waits until no job runs. Returns how many still do after `seconds`."""
        return await self._tasks.drain(seconds)

    async def _serve(self, new: NewJob, accepted: Accepted) -> None:
        """Ends with the job."""
        try:
            self.jobs.kept.files.require_shared()
            for _ in range(_DECISIONS_MAX):
                now_ms = self.jobs.now_ms()
                decision, row = await self._records.decide(new.ask, now_ms)
                if decision.known is None:
                    is_done = await self._buy(new, accepted, now_ms)
                else:
                    is_done = await self._find(new, accepted, decision, decision.known, row)
                if is_done:
                    return
            raise IdempotencyInProgress("The same request is being answered. Send it again shortly.")
        except GatewayError as error:
            if not accepted.done():
                accepted.set_exception(error)
        except Exception:
            logger.exception("fault", extra={"request_id": new.event.request_id})
            if not accepted.done():
                accepted.set_exception(GatewayError(""))
        finally:
            await new.on_end()

    async def _buy(self, new: NewJob, accepted: Accepted, now_ms: int) -> bool:
        """Until the job has ended. False: another request has its Idempotency-Key since a moment ago."""
        ask, event = new.ask, new.event
        is_keyed = ask.idempotency_key is not None
        seconds = max(self._seconds, self._replays.policy.replay_seconds) if is_keyed else self._seconds
        attempt = self._replays.begin(ask, event.request_id, seconds, now_ms)
        adding: asyncio.Task[None] | None = None

        def admit() -> None:
            nonlocal adding
            if not is_keyed:
                self._records.offer(attempt)
                new.left.add_done_callback(partial(self._release, attempt, accepted))
            adding = self._tasks.start(self._list(running), "list a job")

        def is_sent() -> bool:
            return event.dispatched_at is not None

        downstream = JobDownstream(event, self._exchanges.monotonic, admit)
        job = self._new_job(new, event.request_id, attempt.expires_at_ms)
        running = RunningJob(job, attempt, accepted, is_sent, downstream.cancel)
        self.jobs.running[event.request_id] = running
        self.jobs.count(JobState.IN_PROGRESS, 1)
        is_mine = True
        try:
            incoming = Incoming(ask, new.caller.user_id, event, downstream)
            # Nobody waits for its answer: without a file it would be bought and lost.
            is_mine = await self._replays.run(attempt, incoming, new.new_exchange(), is_kept=True, is_file_first=True)
        except GatewayError:
            if adding is None:  # it is no job
                raise
        except Exception:
            logger.exception("fault", extra={"request_id": event.request_id})
            attempt.failure = self._exchanges.error_response(GatewayError(""))
            if adding is None:
                raise
        finally:
            if adding is None:
                self._leave(running)
        if adding is not None:
            await adding
            await self._conclude(running, event)
        return is_mine

    async def _list(self, running: RunningJob) -> None:
        """Writes the row of a job whose hold is taken, and accepts it."""
        attempt, accepted = running.attempt, running.accepted
        taken = Taken(attempt if attempt.ask.idempotency_key is None else None)
        submission = Submission(running.job, is_new=True, taken=taken)
        try:
            running.is_listed = await self.jobs.add(running.job)
        except StoreUnavailable as error:
            running.cancel()
            await self.jobs.answered(submission, is_delivered=False)  # if it is sent, who submits it again has it
            accepted.set_exception(error)
        else:
            accepted.set_result(submission)

    def _release(self, attempt: Attempt, accepted: Accepted, _left: "asyncio.Future[None]") -> None:
        """The caller is gone. If it does not know of its job yet, who sends the same again has the job at once; else
        that is seen where it is answered."""
        if not accepted.done():
            self._records.release(attempt)

    async def _conclude(self, running: RunningJob, event: RequestEvent | None) -> None:
        """Writes how a job ended. `event` is recorded, if it bought something."""
        job = running.job = ended(running.job, ending_of(running.attempt), self.jobs.now_ms())
        if event is not None:
            event.status, event.ended_at = job.error_status or 200, self._exchanges.monotonic()
            self._record(event)
        try:
            if running.is_listed:
                await self.jobs.end(job)
        except StoreUnavailable:
            # Its reservation, written from the spool, tells how it ended; its answer is lost.
            logger.exception("job_not_ended", extra={"request_id": job.request_id})
        finally:
            self.jobs.count(job.state, 1)
            self._leave(running)
        if running.is_answered:
            await self._records.answered(running.attempt, is_takeover=True, is_delivered=True)

    def _leave(self, running: RunningJob) -> None:
        del self.jobs.running[running.job.request_id]
        self.jobs.count(JobState.IN_PROGRESS, -1)
        running.ended.set()

    async def _find(
        self, new: NewJob, accepted: Accepted, decision: ReplayDecision, known: Known, row: AttemptRow | None
    ) -> bool:
        """The job of a request that was made before. False: what was decided is not so any more."""
        if decision.action is Action.REUSED:
            self._replays.refuse(decision)
        running = self.jobs.running.get(known.request_id)
        if running is not None:
            try:
                job = (await asyncio.shield(running.accepted)).job
            except GatewayError:
                return False
            if job.request_id != known.request_id:
                return False
        found = await self.jobs.find(job_id(known.request_id), new.caller.user_id)
        if found is None and running is not None and await self.jobs.add(running.job):
            found = running.job  # it was deleted while it ran
        if found is None:
            return await self._adopt(new, accepted, decision, known, row)
        taken = await self._take(decision, known, row)
        if taken is None:
            return False
        accepted.set_result(Submission(found, is_new=False, taken=taken))
        return True

    async def _adopt(
        self, new: NewJob, accepted: Accepted, decision: ReplayDecision, known: Known, row: AttemptRow | None
    ) -> bool:
        """Makes a job of a request that was made without one; until it has ended. False: what was decided is not so any
        more. Raises IdempotencyInProgress, AnswerLost."""
        self._replays.refuse(decision)
        attempt = self._records.here.find(known.request_id)
        if attempt is not None and attempt.is_free:
            self._records.forget(attempt)
            return False
        job = self._new_job(new, known.request_id, known.expires_at_ms)
        is_running = attempt is not None and attempt.state is AttemptState.RUNNING
        is_lost = False
        if not is_running:
            ending = await self._ending_of_row(row) if attempt is None else ending_of(attempt)
            job = ended(job, ending, self.jobs.now_ms())
            is_lost = job.state is JobState.INCOMPLETE
        taken = await self._take(decision, known, row)
        if taken is None:
            return False
        submission, is_accepted = Submission(job, is_new=False, taken=taken), False
        try:
            is_accepted = not is_lost and await self.jobs.add(job)
        finally:
            if not is_accepted:
                await self.jobs.answered(submission, is_delivered=is_lost)
        if is_lost:
            raise answer_lost(known.request_id)
        if not is_accepted:
            return False
        accepted.set_result(submission)
        if is_running and attempt is not None:
            await self._follow(RunningJob(job, attempt, accepted, _is_sent, _nothing, is_listed=True))
        return True

    async def _follow(self, running: RunningJob) -> None:
        """A job whose request another caller made."""
        self.jobs.running[running.job.request_id] = running
        self.jobs.count(JobState.IN_PROGRESS, 1)
        while running.attempt.state is AttemptState.RUNNING:
            await running.attempt.moved()
        await self._conclude(running, None)

    async def _take(self, decision: ReplayDecision, known: Known, row: AttemptRow | None) -> Taken | None:
        """None if somebody else was first."""
        if not decision.is_takeover:
            return Taken()
        attempt = self._records.here.find(known.request_id)
        return Taken(attempt, row) if await self._records.take(attempt, row) else None

    async def _ending_of_row(self, row: AttemptRow | None) -> JobEnding:
        """Of an attempt that only the database knows. Raises FilesUnavailable, StoreUnavailable."""
        answer = None if row is None or row.file_id is None else await self.jobs.kept.open(row.file_id)
        if row is None or answer is None:
            return JobEnding(is_sent=True)
        async with aclosing(answer.body) as body:
            if answer.head.status == 200:
                await anext(body)  # the file is closed at the end of what was begun
                return JobEnding(row.file_id)
            whole = b"".join([chunk async for chunk in body])
            return JobEnding(error_status=answer.head.status, error=whole.decode())

    def _new_job(self, new: NewJob, request_id: str, expires_at_ms: int) -> Job:
        return Job(
            id=job_id(request_id),
            request_id=request_id,
            key_id=new.caller.key_id,
            user_id=new.caller.user_id,
            operation=new.ask.operation,
            model=new.model,
            state=JobState.IN_PROGRESS,
            created_at_ms=self.jobs.now_ms(),
            expires_at_ms=expires_at_ms,
        )


def ending_of(attempt: Attempt) -> JobEnding:
    """Of an attempt that has ended."""
    failure = attempt.failure
    if failure is not None:
        return JobEnding(error_status=failure.status_code, error=bytes(failure.body).decode())
    return JobEnding(attempt.file_id, is_sent=attempt.state is AttemptState.LOST)


def _is_sent() -> bool:
    """Its request is another caller's, who alone may take it back."""
    return True


def _nothing() -> None:
    """It is not called."""


def _look_at(future: Accepted) -> None:
    if not future.cancelled():
        future.exception()
