import pytest

from app.quotas.rules.reservation import TRANSITIONS, State


def test_a_pending_reservation_ends_in_one_of_three_ways() -> None:
    assert TRANSITIONS[State.PENDING] == {State.SETTLED, State.RELEASED, State.EXPIRED}


@pytest.mark.parametrize("state", [state for state in State if state is not State.PENDING])
def test_what_has_ended_stays_as_it_is(state: State) -> None:
    assert TRANSITIONS[state] == frozenset()
