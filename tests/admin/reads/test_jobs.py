"""Cancelling a job: the list of changes has it before it happens, and no transaction is open while anybody waits."""

from collections.abc import Callable

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from app.admin.operator import Operator
from app.admin.reads.jobs import cancel_job
from app.database.changes import list_changes, lock_changes
from app.database.clock import to_ms
from app.database.engine import reading, writing
from app.errors import Conflict, StoreUnavailable
from app.exchange.jobs.rules import Job, JobState
from app.exchange.jobs.table import JobTable

TRIAL, REAL = True, False


@pytest.fixture
def job(operator: Operator) -> str:
    now_ms = to_ms(operator.now)
    made = Job("job_1", "req_1", "k", "user_1", "generation", "m", JobState.IN_PROGRESS, now_ms, now_ms + 60_000)
    assert JobTable(operator.engine, 10).add(made, now_ms)
    return made.id


class Loop:
    """Answers as told: the trial, then the cancellation."""

    def __init__(self, *answers: bool, on_ask: Callable[[], None] = lambda: None) -> None:
        self.asked: list[bool] = []
        self._answers = list(answers)
        self._on_ask = on_ask

    def __call__(self, request_id: str, *, is_trial: bool) -> bool:
        assert request_id == "req_1"
        self.asked.append(is_trial)
        self._on_ask()
        return self._answers.pop(0)


def actions(operator: Operator) -> list[str]:
    with reading(operator.engine) as connection:
        return [change.action for change in list_changes(connection, 10)][::-1]


def test_others_write_while_it_waits(operator: Operator, job: str) -> None:
    def write() -> None:
        with writing(operator.engine) as connection:
            lock_changes(connection)

    loop = Loop(True, True, on_ask=write)
    assert cancel_job(operator, job, loop)["status"] == "cancelled"
    assert (loop.asked, actions(operator)) == ([TRIAL, REAL], ["job.cancel"])


def test_it_is_not_cancelled_if_its_line_cannot_be_written(operator: Operator, job: str) -> None:
    def fail(_: object) -> None:
        raise OperationalError("COMMIT", {}, Exception("disk is full"))

    loop = Loop(True, True, on_ask=lambda: event.listen(operator.engine, "commit", fail))
    with pytest.raises(StoreUnavailable):
        cancel_job(operator, job, loop)
    event.remove(operator.engine, "commit", fail)
    assert (loop.asked, actions(operator)) == ([TRIAL], [])


def test_one_that_is_sent_meanwhile_has_a_second_line(operator: Operator, job: str) -> None:
    loop = Loop(True, False)
    with pytest.raises(Conflict, match="cannot be cancelled"):
        cancel_job(operator, job, loop)
    assert (loop.asked, actions(operator)) == ([TRIAL, REAL], ["job.cancel", "job.cancel_failed"])


def test_one_that_is_sent_has_no_line(operator: Operator, job: str) -> None:
    with pytest.raises(Conflict):
        cancel_job(operator, job, Loop(False))
    assert actions(operator) == []
