"""Whose turn it is: every account gets its share of any run of turns, and none gets a burst."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.upstream.accounts.turns import Candidate, next_turn

weights = st.lists(st.integers(1, 20), min_size=1, max_size=6)


def run(candidates: list[Candidate], count: int) -> list[str]:
    balances: dict[str, int] = {}
    turns = []
    for _ in range(count):
        name, balances = next_turn(balances, candidates)
        turns.append(name)
    return turns


def test_two_of_three_turns_go_to_the_account_with_twice_the_weight() -> None:
    assert run([("main", 2), ("spare", 1)], 6) == ["main", "spare", "main", "main", "spare", "main"]


@given(weights)
def test_a_whole_round_gives_each_exactly_its_weight(found: list[int]) -> None:
    candidates = [(f"a{number}", weight) for number, weight in enumerate(found)]
    total = sum(found)
    for rounds in (1, 2):
        counted = Counter(run(candidates, rounds * total))
        assert counted == {name: rounds * weight for name, weight in candidates}


@given(weights)
def test_the_heaviest_never_starves_another_for_a_whole_round(found: list[int]) -> None:
    candidates = [(f"a{number}", weight) for number, weight in enumerate(found)]
    turns = run(candidates, 3 * sum(found))
    for name, _ in candidates:
        places = [number for number, turn in enumerate(turns) if turn == name]
        assert all(later - earlier <= sum(found) for earlier, later in pairwise(places))


@given(
    st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=1, max_size=60),
    st.lists(st.integers(1, 9), min_size=5, max_size=5),
)
def test_whoever_was_away_gains_nothing(present: list[set[int]], found: list[int]) -> None:
    """A balance stays below the sum of all weights, so an account that comes back gets no burst."""
    balances: dict[str, int] = {}
    for who in present:
        candidates = [(f"a{number}", found[number]) for number in sorted(who)]
        name, balances = next_turn(balances, candidates)
        assert name in dict(candidates)
        assert all(abs(balance) < sum(found) * 5 for balance in balances.values())
