"""What a job is, and what became of it. Pure: rows, endings and the time in, a state out."""

from collections.abc import Container
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

# Longer than a settled job takes until its end is written.
_UNDECIDED_MS = 60_000


class JobState(StrEnum):
    """A job is in progress, then exactly one of the others. A closed set: it is a metric's label."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"  # its answer is kept
    FAILED = "failed"  # its error is kept
    CANCELLED = "cancelled"  # before it was sent: nothing was bought
    INCOMPLETE = "incomplete"  # sent, and its process stopped before the answer was whole: it may be charged


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Times are milliseconds since 1970. `error` is a JSON document, with the status of the direct answer."""

    id: str
    request_id: str
    key_id: str
    user_id: str
    operation: str
    model: str
    state: JobState
    created_at_ms: int
    expires_at_ms: int
    ended_at_ms: int | None = None
    file_id: str | None = None
    error_status: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class JobReservation:
    """What the ledger says of a job's request."""

    state: str
    is_dispatched: bool
    resolved_at_ms: int | None


class JobEnding(NamedTuple):
    """How the request of a job ended: with an error, with an answer in a file, or without either. `is_sent`: then it
    is or may be charged."""

    file_id: str | None = None
    error_status: int | None = None
    error: str | None = None
    is_sent: bool = False


def job_id(request_id: str) -> str:
    """The id of the job that this request is, or could be."""
    return f"job_{request_id.removeprefix('req_')}"


def ended(job: Job, ending: JobEnding, now_ms: int) -> Job:
    """The job at its end."""
    if ending.error is not None:
        state = JobState.FAILED
    elif ending.file_id is not None:
        state = JobState.COMPLETED
    else:
        state = JobState.INCOMPLETE if ending.is_sent else JobState.CANCELLED
    return replace(
        job,
        state=state,
        ended_at_ms=now_ms,
        file_id=ending.file_id if state is JobState.COMPLETED else None,
        error_status=ending.error_status,
        error=ending.error,
    )


def state_now(job: Job, reservation: JobReservation | None, now_ms: int) -> JobState:
    """The state of a job that this process does not run. One that nobody ended is judged by its reservation, which the
    sweep closes when its process is dead: nothing is run again."""
    if job.state is not JobState.IN_PROGRESS:
        return job.state
    if reservation is None:
        return JobState.FAILED if now_ms - job.created_at_ms > _UNDECIDED_MS else JobState.IN_PROGRESS
    if reservation.state == "pending":
        return JobState.IN_PROGRESS
    if reservation.state != "expired" and now_ms - (reservation.resolved_at_ms or 0) < _UNDECIDED_MS:
        return JobState.IN_PROGRESS  # its process may be writing the end of it
    was_sent = reservation.is_dispatched and reservation.state != "released"
    return JobState.INCOMPLETE if was_sent else JobState.FAILED


def seen_by_its_process(job: Job, running: Container[str]) -> Job:
    """A job that runs in this process is in progress, whatever its reservation looks like. `running` has the ids of the
    requests of those that do.
    """
    is_running = job.request_id in running and job.ended_at_ms is None
    return replace(job, state=JobState.IN_PROGRESS) if is_running else job
