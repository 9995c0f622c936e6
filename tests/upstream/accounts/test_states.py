"""What each observation makes of an account's state: a table, and what holds for any sequence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.upstream.accounts import states
from app.upstream.accounts.states import UP, AccountState, Availability, Why

NOW = 1000.0
DOWN = AccountState(Availability.DOWN, Why.CREDIT, since=900, until=930, rests=1)
RATED = AccountState(Availability.RESTING, Why.RATE, since=990, until=1010, rests=2)
CUT = AccountState(Availability.RESTING, Why.CONNECTION, since=990, until=995, rests=1)


@pytest.mark.parametrize(
    ("state", "now", "is_open"),
    [
        (UP, NOW, True),
        (DOWN, 929, False),
        (DOWN, 930, True),
        (states.taken(DOWN, 930), 931, False),  # one probe at a time
        (RATED, 1009, False),
        (RATED, 1010, True),
        (states.taken(RATED, 1010), 1010, True),  # a rest that ends needs no probe
        (CUT, 994, False),
        (CUT, 995, True),
        (states.taken(CUT, 995), 996, False),
        (states.rested_by_operator(NOW), 1e12, False),
        (states.rested_by_operator(NOW, NOW + 5), NOW + 4, False),
        (states.rested_by_operator(NOW, NOW + 5), NOW + 5, True),
        (states.resumed_by_operator(NOW), NOW, True),
    ],
)
def test_whether_a_request_may_go_there(state: AccountState, now: float, is_open: bool) -> None:
    assert states.is_open(state, now) is is_open


@pytest.mark.parametrize(
    ("why", "kind"),
    [
        (Why.RATE, Availability.RESTING),
        (Why.CREDIT, Availability.DOWN),
        (Why.QUOTA, Availability.DOWN),
        (Why.KEY, Availability.DOWN),
    ],
)
def test_a_refusal_for_the_accounts_sake_takes_it_out(why: Why, kind: Availability) -> None:
    assert states.refused(UP, why, NOW - 1, NOW, 7) == AccountState(kind, why, since=NOW, until=NOW + 7, rests=1)


def test_refusals_of_one_moment_are_one_rest() -> None:
    once = states.refused(UP, Why.RATE, NOW - 1, NOW, 7)
    assert states.refused(once, Why.RATE, NOW - 1, NOW + 1, 60) == once


def test_an_answer_to_an_older_request_brings_nothing_back() -> None:
    assert states.answered(DOWN, 899) == DOWN
    assert states.answered(states.rested_by_operator(NOW), NOW - 1).why is Why.OPERATOR


def test_the_probe_that_is_answered_brings_it_back() -> None:
    back = states.answered(states.taken(DOWN, 940), 940)
    assert (back.kind, back.rests) == (Availability.UP, 0)


def test_the_probe_that_is_refused_makes_the_next_pause_longer() -> None:
    again = states.refused(states.taken(DOWN, 940), Why.CREDIT, 940, 941, states.probe_pause(DOWN, 0))
    assert (again.kind, again.until, again.rests) == (Availability.DOWN, 941 + 60, 2)


def test_a_probe_that_tells_nothing_lets_the_next_one_probe() -> None:
    probing = states.taken(DOWN, 940)
    assert states.is_open(states.probe_ended(probing, 940), 941)
    assert states.probe_ended(probing, 939) == probing


@pytest.mark.parametrize(
    ("rests", "jitter", "seconds"),
    [(0, 0, 1), (1, 0, 2), (2, 0, 4), (5, 0, 32), (6, 0, 60), (99, 0, 60), (2, 0.5, 3), (6, 0.999, 30.03)],
)
def test_rests_after_429_are_doubled_up_to_a_minute(rests: int, jitter: float, seconds: float) -> None:
    assert states.rate_pause(AccountState(rests=rests), None, jitter) == pytest.approx(seconds)


@pytest.mark.parametrize(("told", "seconds"), [(0, 1), (7, 7), (90, 90), (10**9, 3600)])
def test_a_retry_after_is_believed_within_bounds(told: float, seconds: float) -> None:
    assert states.rate_pause(AccountState(rests=3), told, 0.5) == seconds


@pytest.mark.parametrize(("rests", "seconds"), [(0, 30), (1, 60), (4, 480), (5, 900), (50, 900)])
def test_probes_become_rarer_up_to_a_quarter_of_an_hour(rests: int, seconds: float) -> None:
    assert states.probe_pause(AccountState(rests=rests), 0) == seconds


def test_five_connections_that_fail_in_a_row_are_a_rest_and_one_that_is_made_starts_again() -> None:
    way = UP
    for _ in range(4):
        way = states.connection_failed(way, NOW, NOW, 0)
    assert (way.kind, way.failures) == (Availability.UP, 4)
    assert states.connected(way, NOW).failures == 0
    cut = states.connection_failed(way, NOW, NOW + 1, 0)
    assert (cut.kind, cut.why, cut.until) == (Availability.RESTING, Why.CONNECTION, NOW + 1 + 5)


def test_the_half_open_way_rests_longer_when_its_probe_fails_and_opens_when_it_connects() -> None:
    probing = states.taken(CUT, 996)
    longer = states.connection_failed(probing, 996, 997, 0)
    assert (longer.until, longer.rests) == (997 + 10, 2)
    assert states.connected(probing, 996).kind is Availability.UP
    assert states.connection_failed(CUT, 989, 997, 0) == CUT  # began before the rest


times = st.floats(0, 1e6)
jitters = st.floats(0, 1, exclude_max=True)


@given(st.integers(0, 10**6), jitters)
def test_every_pause_is_bounded_and_never_nothing(rests: int, jitter: float) -> None:
    state = AccountState(rests=rests)
    for seconds, (first, most) in (
        (states.rate_pause(state, None, jitter), states.RATE_SECONDS),
        (states.probe_pause(state, jitter), states.PROBE_SECONDS),
    ):
        assert first / 2 <= seconds <= most


@given(st.sampled_from((UP, DOWN, RATED, CUT)), times, st.sampled_from(list(Why)), times)
def test_what_is_older_than_a_state_never_changes_it(state: AccountState, now: float, why: Why, ago: float) -> None:
    chosen_at = state.since - 1 - ago
    assert states.refused(state, why, chosen_at, now, 1) == state or state is UP
    assert states.answered(state, chosen_at) == state
    assert states.connection_failed(state, chosen_at, now, 0.5) == state or state is UP
    assert states.connected(state, chosen_at) == state
