"""What became of a job that its process did not end, from its reservation and the time."""

from dataclasses import replace

import pytest

from app.exchange.jobs.rules import Job, JobReservation, JobState, seen_by_its_process, state_now

MADE_MS, MINUTE_MS = 1_000_000, 60_000
JOB = Job("job_1", "req_1", "k", "u", "generation", "gpt-image-2", JobState.IN_PROGRESS, MADE_MS, MADE_MS + 86_400_000)


@pytest.mark.parametrize(
    ("reservation", "after_ms", "state"),
    [
        (None, 1000, "in_progress"),  # its submission waits for the ledger
        (None, MINUTE_MS + 1, "failed"),  # its process died before it had a reservation
        (JobReservation("pending", True, None), 10 * MINUTE_MS, "in_progress"),
        (JobReservation("pending", False, None), 10 * MINUTE_MS, "in_progress"),
        (JobReservation("expired", True, MADE_MS), 1, "incomplete"),
        (JobReservation("expired", False, MADE_MS), 1, "failed"),
        (JobReservation("settled", True, MADE_MS), 1000, "in_progress"),  # its file is being written
        (JobReservation("settled", True, MADE_MS), MINUTE_MS + 1, "incomplete"),
        (JobReservation("released", False, MADE_MS), MINUTE_MS + 1, "failed"),
        (JobReservation("released", True, MADE_MS), MINUTE_MS + 1, "failed"),
    ],
)
def test_a_job_that_nobody_ended(reservation: JobReservation | None, after_ms: int, state: str) -> None:
    assert state_now(JOB, reservation, MADE_MS + after_ms) == state


@pytest.mark.parametrize("state", [each for each in JobState if each is not JobState.IN_PROGRESS])
def test_what_has_ended_stays_so(state: JobState) -> None:
    assert state_now(replace(JOB, state=state), JobReservation("expired", True, 1), MADE_MS * 9) is state


def test_what_runs_here_is_in_progress_whatever_its_reservation_looks_like() -> None:
    judged = replace(JOB, state=JobState.INCOMPLETE)
    assert seen_by_its_process(judged, {"req_1"}).state is JobState.IN_PROGRESS
    assert seen_by_its_process(judged, {"req_2"}) is judged
    ended = replace(judged, ended_at_ms=MADE_MS + 1)
    assert seen_by_its_process(ended, {"req_1"}) is ended
