"""The attempts that this process knows: found by what they answer, and bounded."""

import asyncio

from app.exchange.replay.attempts import Attempt, Attempts
from app.exchange.replay.rules import RETRY_MS, Ask, AttemptState


def an_attempt(number: int, ask: Ask | None = None, at: int | None = 0) -> Attempt:
    attempt = Attempt(ask or Ask("key-1", "generation", "same"), f"r{number}", expires_at_ms=10**9)
    attempt.undelivered_at_ms = at
    return attempt


def test_attempts_are_found_by_caller_operation_and_key_or_fingerprint() -> None:
    attempts = Attempts()
    plain, keyed = Ask("key-1", "generation", "same"), Ask("key-1", "generation", "same", "k")
    first, second, with_key = an_attempt(1, plain), an_attempt(2, plain), an_attempt(3, keyed)
    for attempt in (first, second, with_key, first):
        attempts.add(attempt, 0)
    assert attempts.like(plain) == [first, second]
    assert attempts.like(keyed) == attempts.like(keyed._replace(fingerprint="other")) == [with_key]
    for other in (plain._replace(key_id="key-2"), plain._replace(operation="edit"), plain._replace(fingerprint="x")):
        assert list(attempts.like(other)) == []
    attempts.remove(first)
    attempts.remove(first)
    assert attempts.like(plain) == [second]
    assert attempts.find("r2") is second
    assert attempts.find("r1") is None


def test_the_oldest_that_do_not_run_are_forgotten() -> None:
    attempts = Attempts(count_max=3)
    made = [an_attempt(number) for number in range(5)]
    made[1].end(AttemptState.KEPT)
    made[2].end(AttemptState.KEPT)
    for attempt in made:
        attempts.add(attempt, 0)
    assert [attempts.find(f"r{number}") is not None for number in range(5)] == [True, False, False, True, True]


def test_what_nobody_may_take_over_any_more_is_forgotten() -> None:
    attempts = Attempts()
    old, young = an_attempt(1, at=0), an_attempt(2, at=RETRY_MS)
    for attempt in (old, young):
        attempt.end(AttemptState.KEPT)
        attempts.add(attempt, 0)
    attempts.add(an_attempt(3), RETRY_MS)
    assert attempts.find("r1") is None
    assert attempts.find("r2") is young


async def test_those_who_wait_are_woken_by_every_step() -> None:
    attempt = an_attempt(1)
    waiting = [asyncio.ensure_future(attempt.moved()) for _ in range(3)]
    await asyncio.sleep(0)
    attempt.end(AttemptState.LOST)
    await asyncio.gather(*waiting)
