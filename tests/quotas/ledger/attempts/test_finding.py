"""What the database knows of earlier attempts."""

from datetime import timedelta

from sqlalchemy import Engine

from app.quotas.ledger.attempts.finding import (
    FoundAttempt,
    WantedAttempt,
    find_attempts,
    is_anything_left,
    prune_attempts,
)
from app.quotas.ledger.attempts.rows import PutAttempt, TakeAttempt
from app.quotas.ledger.liveness.heartbeat import Heartbeat, store_now_ms
from tests.quotas.ledger.attempts.making import NOON_MS, a_row, attempts, keyed
from tests.quotas.making import NOON, StillClock, a_hold, released, running_ledger, settled, sweep

BY_KEY = WantedAttempt("key-1", "generation", "same", "k", 0, "two")
UNDELIVERED = WantedAttempt("key-1", "generation", "same", None, NOON_MS - 1, "two")


async def test_an_attempt_is_found_by_its_idempotency_key_and_owner(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        await ledger.reserve(a_hold(fingerprint="same"), keyed())
        assert find_attempts(engine, BY_KEY) == [FoundAttempt(keyed(), "pending", None, is_bought=True)]
        for other in (
            BY_KEY._replace(key_id="key-2"),
            BY_KEY._replace(operation="edit"),
            BY_KEY._replace(idempotency_key="x"),
        ):
            assert find_attempts(engine, other) == []
        await ledger.resolve("r1", settled())
        [found] = find_attempts(engine, BY_KEY)
        assert (found.reservation_state, found.resolved_at_ms, found.is_bought) == ("settled", NOON_MS, True)


async def test_what_was_released_bought_nothing(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        await ledger.reserve(a_hold(), keyed())
        await ledger.resolve("r1", released())
    assert [found.is_bought for found in find_attempts(engine, BY_KEY)] == [False]


async def test_what_is_undelivered_is_found_by_its_fingerprint(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        row = a_row(state="kept", file_id="f1", undelivered_at_ms=NOON_MS)
        await ledger.keep_attempt(PutAttempt(row))
        await ledger.keep_attempt(PutAttempt(a_row("r2", state="kept")))  # delivered
        assert [found.row for found in find_attempts(engine, UNDELIVERED)] == [row]
        assert find_attempts(engine, UNDELIVERED._replace(since_ms=NOON_MS)) == []
        assert find_attempts(engine, UNDELIVERED._replace(fingerprint="other")) == []
        assert find_attempts(engine, UNDELIVERED._replace(key_id="key-2")) == []
        assert is_anything_left(engine, NOON_MS - 1)
        assert not is_anything_left(engine, NOON_MS)


async def test_what_a_dead_process_left_is_found_until_it_is_taken_over(engine: Engine) -> None:
    clock = StillClock()
    async with running_ledger(engine, clock) as ledger:
        await ledger.reserve(a_hold("sent", fingerprint="same", is_dispatched=True))
        await ledger.reserve(a_hold("unsent", fingerprint="same"))
    later = NOON + timedelta(hours=1)
    await sweep(engine, later)
    [found] = find_attempts(engine, UNDELIVERED)
    assert (found.row.request_id, found.row.state, found.is_bought) == ("sent", "lost", True)
    async with running_ledger(engine, clock) as ledger:
        await ledger.keep_attempt(TakeAttempt(found.row))
    assert find_attempts(engine, UNDELIVERED) == []


async def test_what_a_silent_process_runs_is_found_until_it_beats_again(engine: Engine) -> None:
    """Between the death of a process and the sweep: nobody should buy it again."""
    silent = Heartbeat(engine, "one", 10, lambda: 0.0, lambda connection: store_now_ms(connection) - 16_000)
    async with running_ledger(engine) as ledger:
        await ledger.reserve(a_hold("sent", fingerprint="same", is_dispatched=True))
        await ledger.reserve(a_hold("unsent", fingerprint="same"))
        silent.beat()
        [found] = find_attempts(engine, UNDELIVERED)
        assert (found.row.request_id, found.row.state, found.reservation_state) == ("sent", "running", "pending")
        assert found.row.undelivered_at_ms == NOON_MS
        assert find_attempts(engine, UNDELIVERED._replace(instance="one")) == []  # its own
        assert find_attempts(engine, UNDELIVERED._replace(fingerprint="other")) == []
        Heartbeat(engine, "one", 10, lambda: 0.0).beat()
        assert find_attempts(engine, UNDELIVERED) == []


async def test_rows_go_once_their_time_is_over(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        await ledger.keep_attempt(PutAttempt(a_row("old", expires_at_ms=NOON_MS)))
        await ledger.keep_attempt(PutAttempt(a_row("new", expires_at_ms=NOON_MS + 1)))
    prune_attempts(engine, NOON_MS)
    assert list(attempts(engine)) == ["new"]


async def test_the_row_of_a_running_request_stays_until_it_ends(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        await ledger.reserve(a_hold(is_dispatched=True), keyed(expires_at_ms=NOON_MS))
        prune_attempts(engine, NOON_MS)
        assert list(attempts(engine)) == ["r1"]
        await ledger.resolve("r1", settled())
        prune_attempts(engine, NOON_MS)
        assert attempts(engine) == {}
