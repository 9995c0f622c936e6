"""What one process counts: by hour, who and why; bounded, and nothing is lost before the bound."""

from datetime import timedelta

from app.database.clock import to_ms
from app.quotas.refusals.counts import OTHER, RefusalCounts, RefusalPlace
from app.quotas.rules.windows import HOUR_MS
from tests.quotas.making import NOON

HOUR_MS_OF_NOON = to_ms(NOON) // HOUR_MS * HOUR_MS


def test_an_hour_a_user_a_key_and_a_code_have_one_number() -> None:
    counts = RefusalCounts()
    for minutes in (0, 59, 60):
        counts.count(NOON + timedelta(minutes=minutes), "alice", "k", "insufficient_quota")
    counts.count(NOON, "", "", "invalid_api_key")
    assert counts.take() == {
        RefusalPlace(HOUR_MS_OF_NOON, "alice", "k", "insufficient_quota"): 2,
        RefusalPlace(HOUR_MS_OF_NOON + 3_600_000, "alice", "k", "insufficient_quota"): 1,
        RefusalPlace(HOUR_MS_OF_NOON, "", "", "invalid_api_key"): 1,
    }
    assert counts.take() == {}


def test_what_is_put_back_is_added_to_what_was_counted_meanwhile() -> None:
    counts = RefusalCounts()
    counts.count(NOON, "alice", "k", "x")
    taken = counts.take()
    counts.count(NOON, "alice", "k", "x")
    counts.put_back(taken)
    assert counts.take() == {RefusalPlace(HOUR_MS_OF_NOON, "alice", "k", "x"): 2}


def test_past_the_bound_they_are_others_and_past_twice_the_bound_they_are_lost_and_counted() -> None:
    counts = RefusalCounts(places_max=2)
    for user in ("a", "b", "c", "d", "a"):
        counts.count(NOON, user, "k", "x")
    for hours in (1, 2):
        counts.count(NOON + timedelta(hours=hours), "a", "k", "x")
    taken = counts.take()
    assert [(place.user_id, place.key_id, number) for place, number in taken.items()] == [
        ("a", "k", 2),
        ("b", "k", 1),
        (OTHER, OTHER, 2),
        (OTHER, OTHER, 1),
    ]
    assert counts.take_lost() == 1
    assert counts.take_lost() == 0
