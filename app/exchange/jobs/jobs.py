"""All jobs of a database, seen from one process: finds and lists them, opens their answers, forgets them. Runs none."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from app.database.clock import to_ms
from app.database.readers import Readers
from app.errors import FilesUnavailable, StoreUnavailable
from app.exchange.jobs.rules import Job, JobState, seen_by_its_process
from app.exchange.jobs.running import RunningJob, Submission
from app.exchange.jobs.table import JobTable
from app.exchange.replay.keeping import ONLY_COPY_SECONDS
from app.exchange.replay.kept import KeptAnswer, KeptAnswers
from app.exchange.replay.records import AttemptRecords

T = TypeVar("T")

_TABLE_AT_A_TIME = 2  # of the pool's 10 connections
TABLE_SECONDS_MAX = 10.0
_CANCEL_SECONDS_MAX = 2.0


class Jobs:
    """`running` has the jobs of this process by the id of their request. `show` is called with the number of jobs of
    this process in a state whenever it changes."""

    def __init__(
        self,
        table: JobTable,
        kept: KeptAnswers,
        records: AttemptRecords,
        clock: Callable[[], datetime],
        show: Callable[[str, int], None],
    ) -> None:
        self._table = table
        self.kept = kept
        self._records = records
        self._clock = clock
        self._show = show
        self._readers = Readers(_TABLE_AT_A_TIME, "jobs")
        self._counts: Counter[JobState] = Counter()
        self.running: dict[str, RunningJob] = {}

    def now_ms(self) -> int:
        return to_ms(self._clock())

    async def add(self, job: Job) -> bool:
        """False: it is there already. Raises StoreUnavailable."""
        return await self._ask(partial(self._table.add, job, self.now_ms()))

    async def end(self, job: Job) -> bool:
        """Writes how it ended. False: it was deleted meanwhile, and its answer is now, too. Waits for a database that
        is away. Raises StoreUnavailable."""
        end = partial(self._table.end, job)
        is_wanted = await self._readers.run_until_answered(end, TABLE_SECONDS_MAX, ONLY_COPY_SECONDS)
        if not is_wanted:
            await self._delete_file(job.file_id)
        return is_wanted

    async def find(self, job_id: str, user_id: str) -> Job | None:
        """The job as it is now; None if there is none of this user. Raises StoreUnavailable."""
        found = await self._ask(partial(self._table.find, job_id, user_id, self.now_ms()))
        return found and seen_by_its_process(found, self.running)

    async def newest(self, user_id: str, count: int, after: str | None) -> list[Job]:
        """At most `count`, those older than the job `after`. Raises StoreUnavailable."""
        found = await self._ask(partial(self._table.newest, user_id, self.now_ms(), count, after))
        return [seen_by_its_process(job, self.running) for job in found]

    async def open(self, job: Job) -> KeptAnswer | None:
        """The answer of a completed job; None if it is kept no longer. Raises FilesUnavailable, StoreUnavailable."""
        return None if job.file_id is None else await self.kept.open(job.file_id)

    async def wait(self, job: Job, seconds: float, left: "asyncio.Future[None] | None" = None) -> Job:
        """The job once it has ended, or after `seconds`, or when `left` is done."""
        running = self.running.get(job.request_id)
        if running is None:
            return job
        ended = asyncio.ensure_future(running.ended.wait())
        waits: list[asyncio.Future[Any]] = [ended] if left is None else [ended, left]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        return running.job

    async def answered(self, submission: Submission, *, is_delivered: bool) -> None:
        """Its caller has the answer, or is gone: then who sends it again has the job."""
        attempt, row = submission.taken
        running = self.running.get(submission.job.request_id)
        if is_delivered and running is not None and attempt is not None:
            running.is_answered = True  # its attempt ends with the job
        elif attempt is not None:
            await self._records.answered(attempt, is_takeover=True, is_delivered=is_delivered)
        elif row is not None:
            await self._records.answered_from_row(row, is_delivered=is_delivered)

    async def discard(self, job: Job) -> Job | None:
        """Cancels a job of this process that is not sent yet. Any other is forgotten, with its answer: returns None.
        Raises StoreUnavailable."""
        if self.cancel(job.request_id):
            return await self.wait(job, _CANCEL_SECONDS_MAX)
        await self._ask(partial(self._table.remove, job.id))
        await self._delete_file(job.file_id)
        return None

    def cancel(self, request_id: str, *, is_trial: bool = False) -> bool:
        """Whether the job of this request ends without being sent: it does if it runs here and is not sent yet. A trial
        only tells. Does not wait for its end.
        """
        running = self.running.get(request_id)
        return running is not None and (not running.is_sent() if is_trial else running.cancel())

    def count(self, state: JobState, change: int) -> None:
        self._counts[state] += change
        self._show(state.value, self._counts[state])

    async def _delete_file(self, file_id: str | None) -> None:
        if file_id is not None:
            with suppress(FilesUnavailable, StoreUnavailable):  # it expires
                await self.kept.files.delete(file_id)

    async def _ask(self, question: Callable[[], T]) -> T:
        return await self._readers.run(question, TABLE_SECONDS_MAX)
