"""Jobs in the database. Every function blocks, and raises StoreUnavailable."""

from dataclasses import asdict, fields, replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.database.engine import reading, writing
from app.database.schema.job_tables import jobs
from app.database.schema.ledger_tables import reservations
from app.exchange.jobs.rules import Job, JobReservation, JobState, state_now


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
            its = (jobs.c.id == job_id) & (jobs.c.user_id == user_id) & (jobs.c.expires_at_ms > now_ms)
            row = connection.execute(select(jobs).where(its)).one_or_none()
            return None if row is None else _job_now(connection, row, now_ms)

    def newest(self, user_id: str, now_ms: int, count: int, after: str | None) -> list[Job]:
        """The newest jobs of a user, at most `count`; those older than the job `after`."""
        mine = (jobs.c.user_id == user_id) & (jobs.c.expires_at_ms > now_ms)
        with reading(self._engine) as connection:
            query = select(jobs).where(mine).order_by(jobs.c.created_at_ms.desc(), jobs.c.id.desc()).limit(count)
            if after is not None:
                last = connection.execute(select(jobs.c.created_at_ms).where(mine, jobs.c.id == after)).scalar()
                if last is None:
                    return []
                is_older = (jobs.c.created_at_ms < last) | ((jobs.c.created_at_ms == last) & (jobs.c.id < after))
                query = query.where(is_older)
            return [_job_now(connection, row, now_ms) for row in connection.execute(query).all()]


def _job_now(connection: Connection, row: Row[Any], now_ms: int) -> Job:
    columns = {field.name: getattr(row, field.name) for field in fields(Job)}
    job = Job(**{**columns, "state": JobState(row.state)})
    if job.state is not JobState.IN_PROGRESS:
        return job
    its = (reservations.c.state, reservations.c.dispatched_at_ms, reservations.c.resolved_at_ms)
    found = connection.execute(select(*its).where(reservations.c.id == job.request_id)).one_or_none()
    reservation = None
    if found is not None:
        reservation = JobReservation(found.state, found.dispatched_at_ms is not None, found.resolved_at_ms)
    return replace(job, state=state_now(job, reservation, now_ms))
