"""The use cases of jobs: list and show them, without what they were asked for and without their answers; cancel one."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import orjson
from sqlalchemy import Connection

from app.admin.access.permissions import Permission, permit
from app.admin.access.reaching import Reached, reached_users
from app.admin.operator import Operator
from app.admin.reads.pages import Page, Row, page_of_rows
from app.admin.views import iso
from app.database.changes import record_change
from app.database.clock import from_ms, to_ms
from app.errors import Conflict, InvalidValue, NotFound
from app.exchange.jobs.rules import Job, JobState, seen_by_its_process
from app.exchange.jobs.table import WantedJobs, read_job, read_jobs

_SAME = ("id", "request_id", "user_id", "key_id", "operation", "model", "error_status")


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs. `user` is a name or id. `after` is the id of the last one of the page before."""

    user: str | None = None
    state: JobState | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: str | None = None
    limit: int = 100


def list_jobs(operator: Operator, asked: JobFilter, running: Container[str] = ()) -> Page:
    """Jobs that the role reaches, the newest first. `running` has the requests of those that this process runs.

    Raises InvalidValue if `after` is none.
    """
    with operator.reading() as connection:
        reached = reached_users(operator, connection, Permission.READ_USAGE, asked.user)
        last = None
        if asked.after is not None and (last := _find(operator, connection, asked.after, reached)) is None:
            raise InvalidValue("There is no job with the id in 'after' any more. Begin again without it.")
        since_ms, until_ms = (None if each is None else to_ms(each) for each in (asked.since, asked.until))
        wanted = WantedJobs(reached.ids, asked.state, last, since_ms, until_ms)
        found = read_jobs(connection, wanted, to_ms(operator.now), asked.limit + 1)
        rows = [_job_json(seen_by_its_process(job, running), reached) for job in found]
    return page_of_rows(rows, asked.limit)


def show_job(operator: Operator, job_id: str, running: Container[str] = ()) -> Row:
    """One job. Raises NotFound."""
    with operator.reading() as connection:
        return _shown(operator, connection, job_id, running)[1]


class Cancel(Protocol):
    """Asks the process that runs jobs: whether the job of this request ends without being sent. A trial only tells.
    Raises StoreUnavailable if it does not answer in time; what was asked for happens nevertheless.
    """

    def __call__(self, request_id: str, *, is_trial: bool) -> bool: ...


def cancel_job(operator: Operator, job_id: str, cancel: Cancel) -> Row:
    """Cancels a job that is not sent yet: nothing is bought. It is first written into the list of changes, so that no
    job ends so without it; one that is sent meanwhile has a second line. Nobody waits for `cancel` in a transaction.

    Raises NotFound, ChangedMeanwhile, StoreUnavailable. Raises Conflict if it cannot be cancelled.
    """
    permit(operator.principal, Permission.OPERATE)
    request_id = _request_of(operator, job_id)
    if not cancel(request_id, is_trial=True):
        raise _not_cancelled(job_id)
    with operator.writing() as connection:
        _, before = _shown(operator, connection, job_id)
        operator.expected.check(before)
        states = ({"status": state.value} for state in (JobState.IN_PROGRESS, JobState.CANCELLED))
        record_change(connection, operator.change(), "job.cancel", job_id, *states)
    if operator.trial is None and not cancel(request_id, is_trial=False):
        with operator.writing() as connection:
            record_change(connection, operator.change(), "job.cancel_failed", job_id, None, None)
        raise _not_cancelled(job_id)
    return before | {"status": JobState.CANCELLED.value, "ended_at": iso(operator.now)}


def _request_of(operator: Operator, job_id: str) -> str:
    with operator.reading() as connection:
        return _shown(operator, connection, job_id)[0].request_id


def _not_cancelled(job_id: str) -> Conflict:
    return Conflict(
        f"The job {job_id} cannot be cancelled: it has ended, is sent already and will be charged, or runs in another "
        "process, which may be asked on a new connection."
    )


def _shown(operator: Operator, connection: Connection, job_id: str, running: Container[str] = ()) -> tuple[Job, Row]:
    reached = reached_users(operator, connection, Permission.READ_USAGE)
    job = _find(operator, connection, job_id, reached)
    if job is None:
        raise NotFound("There is no job with this id. Jobs are forgotten after a time: GATEWAY_JOB_SECONDS.")
    job = seen_by_its_process(job, running)
    return job, _job_json(job, reached)


def _find(operator: Operator, connection: Connection, job_id: str, reached: Reached) -> Job | None:
    job = read_job(connection, job_id, to_ms(operator.now))
    return job if job is not None and (reached.ids is None or job.user_id in reached.ids) else None


def _job_json(job: Job, reached: Reached) -> Row:
    """The message of an error may quote what was asked for: its code is enough."""
    code = None if job.error is None else orjson.loads(job.error)["error"]["code"]
    return {
        **{name: getattr(job, name) for name in _SAME},
        "status": job.state.value,
        "user": reached.names.get(job.user_id),
        "error_code": code,
        "created_at": iso(from_ms(job.created_at_ms)),
        "ended_at": None if job.ended_at_ms is None else iso(from_ms(job.ended_at_ms)),
        "expires_at": iso(from_ms(job.expires_at_ms)),
    }
