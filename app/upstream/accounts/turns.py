"""Whose turn it is among accounts: weighted round robin, or the first of a list. Pure.

Smooth weighted round robin: of any run of turns each account gets its share, and no account gets a burst.
"""

from collections.abc import Mapping, Sequence

Candidate = tuple[str, int]
"""An account's name and its weight."""


def next_turn(balances: Mapping[str, int], candidates: Sequence[Candidate]) -> tuple[str, dict[str, int]]:
    """The next of `candidates`, which must not be empty, and the balances for the turn after it.

    Each candidate's balance grows by its weight; the highest is chosen and pays the sum of all weights. Whoever is no
    candidate keeps its balance, which is always less than that sum: it gains nothing by having been away.
    """
    after = dict(balances)
    for name, weight in candidates:
        after[name] = after.get(name, 0) + weight
    chosen = max(candidates, key=lambda candidate: after[candidate[0]])[0]
    after[chosen] -= sum(weight for _, weight in candidates)
    return chosen, after
