"""Each bound on time, with a clock of the test's own."""

import pytest

from app.server.http.bounds import Bounds, Fault
from app.server.http.deadlines import ProgressWatch, Seen, Stage

BOUNDS = Bounds(
    head_seconds=30, body_idle_seconds=30, body_bytes_per_second_min=1000, body_seconds_max=900, stall_seconds=120
)


def seen(stage: Stage, turn: int = 1, **more: int) -> Seen:
    fields = {"received": 0, "unsent": 0, "writable": 0, "is_ours": 0, **more}
    return Seen(stage, turn, fields["received"], fields["unsent"], fields["writable"], bool(fields["is_ours"]))


def first_fault(connection: list[Seen]) -> tuple[int, Fault] | None:
    """When something was wrong, one look a second."""
    watch = ProgressWatch(0)
    for second, now in enumerate(connection):
        fault = watch.look(now, float(second), BOUNDS)
        if fault is not None:
            return second, fault
    return None


def test_a_head_has_its_time_however_it_trickles() -> None:
    assert first_fault([seen(Stage.HEAD, received=second) for second in range(60)]) == (30, Fault.HEAD_LATE)


def test_an_idle_connection_is_no_head() -> None:
    assert first_fault([seen(Stage.IDLE)] * 1000) is None


def test_each_head_has_a_time_of_its_own() -> None:
    assert first_fault([seen(Stage.HEAD, turn=second // 29) for second in range(300)]) is None


def test_a_body_that_stops_is_idle() -> None:
    bodies = [seen(Stage.BODY, received=min(second, 10) * 1_000_000) for second in range(100)]
    assert first_fault(bodies) == (40, Fault.BODY_IDLE)


def test_a_body_may_be_slow_at_first() -> None:
    bodies = [seen(Stage.BODY, received=second) for second in range(60)]
    assert first_fault(bodies) == (30, Fault.BODY_SLOW)
    assert first_fault([seen(Stage.BODY, received=second * 1000) for second in range(600)]) is None


def test_a_body_has_a_time_in_all() -> None:
    assert first_fault([seen(Stage.BODY, received=second * 5000) for second in range(1000)]) == (900, Fault.BODY_LATE)


@pytest.mark.parametrize("stage", [Stage.HEAD, Stage.BODY])
def test_the_time_that_we_take_is_not_the_callers(stage: Stage) -> None:
    ours = [seen(stage, is_ours=1)] * 500
    assert first_fault(ours) is None
    assert first_fault([*ours, *[seen(stage)] * 31]) is not None


@pytest.mark.parametrize("stage", list(Stage))
def test_an_answer_that_is_not_taken_is_stalled(stage: Stage) -> None:
    stalled = [seen(stage, turn=second, unsent=5) for second in range(200)]
    assert first_fault(stalled) == (120, Fault.ANSWER_STALLED)


def test_an_answer_that_is_taken_slowly_is_not() -> None:
    assert first_fault([seen(Stage.ANSWER, unsent=100_000 - second // 100) for second in range(2000)]) is None
    assert first_fault([seen(Stage.ANSWER, unsent=70_000, writable=second // 100) for second in range(2000)]) is None


def test_waiting_is_told_by_the_stage_and_only_where_all_is_taken() -> None:
    watch = ProgressWatch(0)
    for second in range(76):
        watch.look(seen(Stage.IDLE), second, BOUNDS)
    assert watch.has_waited(seen(Stage.IDLE), Stage.IDLE, 75, 75)
    assert not watch.has_waited(seen(Stage.IDLE), Stage.IDLE, 74, 75)
    assert not watch.has_waited(seen(Stage.IDLE, unsent=1), Stage.IDLE, 75, 75)
    assert not watch.has_waited(seen(Stage.ANSWER), Stage.IDLE, 75, 75)
