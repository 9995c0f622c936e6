"""Makes the parts of this folder, with the database behind them."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import NamedTuple, Protocol

from sqlalchemy import Engine

from app.exchange.jobs.jobs import Jobs
from app.exchange.jobs.submitting import STOPPED_JOB_SECONDS, Submissions
from app.exchange.jobs.table import JobTable
from app.exchange.replay.replays import Replays
from app.telemetry.event import RequestEvent


class JobChoices(Protocol):
    """The settings that are needed here, with the names of app/settings/."""

    @property
    def job_seconds(self) -> int: ...
    @property
    def user_jobs_max(self) -> int: ...
    @property
    def shutdown_seconds(self) -> float: ...


class Watch(NamedTuple):
    """`record` is called with the event of each job that ended, `show` with how many are in a state."""

    record: Callable[[RequestEvent], None]
    show: Callable[[str, int], None]


def open_jobs(
    engine: Engine, replays: Replays, choices: JobChoices, watch: Watch, stack: AsyncExitStack
) -> tuple[Jobs, Submissions]:
    """`stack` waits for the jobs that run."""
    table, clock = JobTable(engine, choices.user_jobs_max), replays.exchanges.clock
    jobs = Jobs(table, replays.kept, replays.records, clock, watch.show)
    submissions = Submissions(jobs, replays, choices.job_seconds, watch.record)
    stack.push_async_callback(submissions.close, choices.shutdown_seconds + STOPPED_JOB_SECONDS)
    return jobs, submissions
