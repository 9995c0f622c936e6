"""Makes the parts of this folder, with the database behind them."""

from contextlib import AsyncExitStack
from functools import partial
from typing import Protocol

from sqlalchemy import Engine

from app.exchange.jobs.jobs import Jobs
from app.exchange.jobs.submitting import STOPPED_JOB_SECONDS, Submissions
from app.exchange.jobs.table import JobTable
from app.exchange.replay.replays import Replays
from app.telemetry.recording import Records, record_job


class JobChoices(Protocol):
    """The settings that are needed here, with the names of app/settings/."""

    @property
    def job_seconds(self) -> int: ...
    @property
    def user_jobs_max(self) -> int: ...
    @property
    def shutdown_seconds(self) -> float: ...


def open_jobs(
    engine: Engine, replays: Replays, choices: JobChoices, records: Records, stack: AsyncExitStack
) -> Submissions:
    """`stack` waits for the jobs that run."""
    table, clock = JobTable(engine, choices.user_jobs_max), replays.exchanges.clock
    jobs = Jobs(table, replays.kept, replays.records, clock, records.metrics.show_jobs)
    submissions = Submissions(jobs, replays, choices.job_seconds, partial(record_job, records))
    stack.push_async_callback(submissions.close, choices.shutdown_seconds + STOPPED_JOB_SECONDS)
    return submissions
