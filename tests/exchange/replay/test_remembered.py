"""What the database remembers, as the rules see it."""

import pytest

from app.exchange.replay.remembered import known_of
from app.exchange.replay.rules import AttemptState
from app.quotas.ledger.attempts.finding import FoundAttempt
from tests.quotas.ledger.attempts.making import NOON_MS, a_row

RUNNING, KEPT, LOST = AttemptState.RUNNING, AttemptState.KEPT, AttemptState.LOST


@pytest.mark.parametrize(
    ("state", "reservation", "resolved_ago_ms", "shared", "seen"),
    [
        ("running", "pending", None, True, RUNNING),
        ("running", "pending", None, False, LOST),  # the only process does not run it
        ("running", "settled", 1_000, True, RUNNING),  # it is still being sent
        ("running", "settled", 120_000, True, LOST),
        ("running", "settled", 1_000, False, LOST),
        ("running", "expired", 0, True, LOST),
        ("running", None, None, True, LOST),
        ("kept", "settled", 1_000, True, KEPT),
        ("lost", "settled", 1_000, False, LOST),
    ],
)
def test_what_can_be_had(
    state: str, reservation: str | None, resolved_ago_ms: int | None, seen: AttemptState, *, shared: bool
) -> None:
    resolved_at_ms = None if resolved_ago_ms is None else NOON_MS - resolved_ago_ms
    found = FoundAttempt(a_row(state=state, undelivered_at_ms=7), reservation, resolved_at_ms, is_bought=True)
    known = known_of(found, NOON_MS, is_shared=shared)
    assert known is not None
    assert (known.state, known.is_here, known.undelivered_at_ms) == (seen, False, 7)


def test_what_bought_nothing_is_not_known() -> None:
    assert known_of(FoundAttempt(a_row(), "released", NOON_MS, is_bought=False), NOON_MS, is_shared=True) is None
