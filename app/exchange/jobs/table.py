"""Jobs in the database. Every function blocks, and raises StoreUnavailable."""

from dataclasses import asdict, fields, replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, Select, delete, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from app.database.engine import reading, writing
from app.database.schema.job_tables import jobs
from app.database.schema.ledger_tables import reservations
from app.exchange.jobs.rules import Job, JobReservation, JobState, state_now

_ROWS_AT_A_TIME = 200


class JobTable:
    """The jobs of one database. `user_jobs_max`: how many are kept of each user; the oldest that ended go first."""

    def __init__(self, engine: Engine, user_jobs_max: int) -> None:
        self._engine = engine
        self._user_jobs_max = user_jobs_max

    def add(self, job: Job, now_ms: int) -> bool:
        """Adds a job, and removes those that have expired or are too many. False: it is there already."""
        try:
            with writing(self._engine) as connection:
                connection.execute(delete(jobs).where(jobs.c.expires_at_ms <= now_ms))
                connection.execute(insert(jobs).values(**asdict(job)))
                self._remove_excess(connection, job.user_id)
        except IntegrityError:
            return False
        return True

    def _remove_excess(self, connection: Connection, user_id: str) -> None:
        newest = select(jobs.c.created_at_ms).where(jobs.c.user_id == user_id).order_by(jobs.c.created_at_ms.desc())
        last = connection.execute(newest.offset(self._user_jobs_max).limit(1)).scalar()
        if last is not None:
            is_excess = (jobs.c.user_id == user_id) & (jobs.c.created_at_ms <= last)
            connection.execute(delete(jobs).where(is_excess, jobs.c.state != JobState.IN_PROGRESS.value))

    def end(self, job: Job) -> bool:
        """Writes how it ended. False: it was deleted meanwhile."""
        with writing(self._engine) as connection:
            done = connection.execute(update(jobs).where(jobs.c.id == job.id).values(**asdict(job)))
            return done.rowcount == 1

    def remove(self, job_id: str) -> None:
        with writing(self._engine) as connection:
            connection.execute(delete(jobs).where(jobs.c.id == job_id))

    def find(self, job_id: str, user_id: str, now_ms: int) -> Job | None:
        """The job as it is now; None if there is none of this user."""
        with reading(self._engine) as connection:
            job = read_job(connection, job_id, now_ms)
            return job if job is not None and job.user_id == user_id else None

    def newest(self, user_id: str, now_ms: int, count: int, after: str | None) -> list[Job]:
        """The newest jobs of a user, at most `count`; those older than the job `after`."""
        with reading(self._engine) as connection:
            last = None if after is None else read_job(connection, after, now_ms)
            if after is not None and (last is None or last.user_id != user_id):
                return []
            return read_jobs(connection, WantedJobs(frozenset([user_id]), None, last), now_ms, count)


class WantedJobs(NamedTuple):
    """Which jobs. `user_ids` None: of all. `after`: older ones than this. `since_ms` is included, `until_ms` is not."""

    user_ids: frozenset[str] | None = None
    state: JobState | None = None
    after: Job | None = None
    since_ms: int | None = None
    until_ms: int | None = None


def read_job(connection: Connection, job_id: str, now_ms: int) -> Job | None:
    """The job as it is now."""
    row = connection.execute(_with_reservations(_kept(now_ms).where(jobs.c.id == job_id))).one_or_none()
    return None if row is None else _job_now(row, now_ms)


def read_jobs(connection: Connection, wanted: WantedJobs, now_ms: int, count: int) -> list[Job]:
    """At most `count` jobs as they are now, the newest first."""
    found: list[Job] = []
    size, last = max(count, _ROWS_AT_A_TIME), wanted.after
    while len(found) < count and (batch := _newest(connection, wanted._replace(after=last), now_ms, size)):
        found += [job for job in batch if wanted.state in (None, job.state)]
        last = batch[-1]
    return found[:count]


def _newest(connection: Connection, wanted: WantedJobs, now_ms: int, count: int) -> list[Job]:
    """The same, and with them those that nobody ended, which may be in any state by now."""
    query = _kept(now_ms).order_by(jobs.c.created_at_ms.desc(), jobs.c.id.desc()).limit(count)
    if wanted.user_ids is not None:
        query = query.where(jobs.c.user_id.in_(sorted(wanted.user_ids)))
    if wanted.since_ms is not None:
        query = query.where(jobs.c.created_at_ms >= wanted.since_ms)
    if wanted.until_ms is not None:
        query = query.where(jobs.c.created_at_ms < wanted.until_ms)
    if wanted.after is not None:
        place = wanted.after.created_at_ms, wanted.after.id
        query = query.where(tuple_(jobs.c.created_at_ms, jobs.c.id) < place)
    if wanted.state is not None:
        query = query.where(jobs.c.state.in_([wanted.state.value, JobState.IN_PROGRESS.value]))
    return [_job_now(row, now_ms) for row in connection.execute(_with_reservations(query))]


def _kept(now_ms: int) -> Select[Any]:
    return select(jobs).where(jobs.c.expires_at_ms > now_ms)


def _with_reservations(query: Select[Any]) -> Select[Any]:
    """The jobs of `query`, the newest first. Only the reservations of these are looked up."""
    found, its = query.subquery(), reservations.c
    of_reservation = (its.state.label("reservation"), its.dispatched_at_ms, its.resolved_at_ms)
    joined = select(found, *of_reservation).outerjoin(reservations, its.id == found.c.request_id)
    return joined.order_by(found.c.created_at_ms.desc(), found.c.id.desc())


def _job_now(row: Row[Any], now_ms: int) -> Job:
    columns = {field.name: getattr(row, field.name) for field in fields(Job)}
    job = Job(**{**columns, "state": JobState(row.state)})
    reservation = None
    if row.reservation is not None:
        reservation = JobReservation(row.reservation, row.dispatched_at_ms is not None, row.resolved_at_ms)
    return replace(job, state=state_now(job, reservation, now_ms))
