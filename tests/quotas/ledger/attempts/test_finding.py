"""What the database knows of earlier attempts."""

from datetime import timedelta

import pytest
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


def found_of(engine: Engine, wanted: WantedAttempt) -> list[FoundAttempt]:
    [found] = find_attempts(engine, [wanted])
    return found


async def test_an_attempt_is_found_by_its_idempotency_key_and_owner(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        await ledger.reserve(a_hold(fingerprint="same"), keyed())
        assert found_of(engine, BY_KEY) == [FoundAttempt(keyed(), "pending", None, is_bought=True)]
        for other in (
            BY_KEY._replace(key_id="key-2"),
            BY_KEY._replace(operation="edit"),
            BY_KEY._replace(idempotency_key="x"),
        ):
            assert found_of(engine, other) == []
        await ledger.resolve("r1", settled())
        [found] = found_of(engine, BY_KEY)
        assert (found.reservation_state, found.resolved_at_ms, found.is_bought) == ("settled", NOON_MS, True)


async def test_what_was_released_bought_nothing(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        await ledger.reserve(a_hold(), keyed())
        await ledger.resolve("r1", released())
    assert [found.is_bought for found in found_of(engine, BY_KEY)] == [False]


async def test_what_is_undelivered_is_found_by_its_fingerprint(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        row = a_row(state="kept", file_id="f1", undelivered_at_ms=NOON_MS)
        await ledger.keep_attempt(PutAttempt(row))
        await ledger.keep_attempt(PutAttempt(a_row("r2", state="kept")))  # delivered
        assert [found.row for found in found_of(engine, UNDELIVERED)] == [row]
        assert found_of(engine, UNDELIVERED._replace(since_ms=NOON_MS)) == []
        assert found_of(engine, UNDELIVERED._replace(fingerprint="other")) == []
        assert found_of(engine, UNDELIVERED._replace(key_id="key-2")) == []
        assert is_anything_left(engine, NOON_MS - 1)
        assert not is_anything_left(engine, NOON_MS)


async def test_what_a_dead_process_left_is_found_until_it_is_taken_over(engine: Engine) -> None:
    clock = StillClock()
    async with running_ledger(engine, clock) as ledger:
        await ledger.reserve(a_hold("sent", fingerprint="same", is_dispatched=True))
        await ledger.reserve(a_hold("unsent", fingerprint="same"))
    later = NOON + timedelta(hours=1)
    await sweep(engine, later)
    [found] = found_of(engine, UNDELIVERED)
    assert (found.row.request_id, found.row.state, found.is_bought) == ("sent", "lost", True)
    async with running_ledger(engine, clock) as ledger:
        await ledger.keep_attempt(TakeAttempt(found.row))
    assert found_of(engine, UNDELIVERED) == []


async def test_what_a_silent_process_runs_is_found_until_it_beats_again(engine: Engine) -> None:
    """Between the death of a process and the sweep: nobody should buy it again."""
    silent = Heartbeat(engine, "one", 10, lambda: 0.0, lambda connection: store_now_ms(connection) - 16_000)
    async with running_ledger(engine) as ledger:
        await ledger.reserve(a_hold("sent", fingerprint="same", is_dispatched=True))
        await ledger.reserve(a_hold("unsent", fingerprint="same"))
        silent.beat()
        [found] = found_of(engine, UNDELIVERED)
        assert (found.row.request_id, found.row.state, found.reservation_state) == ("sent", "running", "pending")
        assert found.row.undelivered_at_ms == NOON_MS
        assert found_of(engine, UNDELIVERED._replace(instance="one")) == []  # its own
        assert found_of(engine, UNDELIVERED._replace(fingerprint="other")) == []
        Heartbeat(engine, "one", 10, lambda: 0.0).beat()
        assert found_of(engine, UNDELIVERED) == []


async def test_several_at_once_find_what_each_finds_alone(engine: Engine) -> None:
    silent = Heartbeat(engine, "silent", 10, lambda: 0.0, lambda connection: store_now_ms(connection) - 16_000)
    async with running_ledger(engine, instance="silent") as ledger:
        for number in range(5):
            row = a_row(f"u{number}", fingerprint="many", state="kept", undelivered_at_ms=NOON_MS - number)
            await ledger.keep_attempt(PutAttempt(row))
        await ledger.keep_attempt(
            PutAttempt(a_row("one", fingerprint="one", state="kept", undelivered_at_ms=NOON_MS + 9))
        )
        await ledger.keep_attempt(PutAttempt(a_row("other", key_id="key-2", state="kept", undelivered_at_ms=NOON_MS)))
        await ledger.reserve(a_hold(), keyed())
        await ledger.reserve(a_hold("held", fingerprint="held", is_dispatched=True))
        silent.beat()
        wanted = [
            UNDELIVERED._replace(key_id=key, fingerprint=fingerprint, since_ms=since_ms)
            for key in ("key-1", "key-2")
            for fingerprint in ("many", "one", "same", "held", "none")
            for since_ms in (NOON_MS - 3, NOON_MS - 1, NOON_MS)
        ]
        wanted += [BY_KEY, BY_KEY._replace(idempotency_key="x")]
        together = find_attempts(engine, wanted)
    ids = [[found.row.request_id for found in each] for each in together]
    assert ids == [[found.row.request_id for found in found_of(engine, each)] for each in wanted]
    assert {id_ for each in ids for id_ in each} > {"one", "other", "held", "r1"}
    for each, all_found in zip(wanted, together, strict=True):
        for found in all_found:
            is_late = (found.row.undelivered_at_ms or 0) > each.since_ms
            assert each.idempotency_key or is_late


async def test_one_that_has_very_many_hides_nothing_of_the_others(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.quotas.ledger.attempts.finding._FOUND_MAX", 1)
    async with running_ledger(engine) as ledger:
        for number in range(5):
            await ledger.keep_attempt(PutAttempt(a_row(f"u{number}", state="kept", undelivered_at_ms=NOON_MS)))
        late = a_row("late", fingerprint="one", state="kept", undelivered_at_ms=NOON_MS + 9)
        await ledger.keep_attempt(PutAttempt(late))
    many, one = find_attempts(engine, [UNDELIVERED, UNDELIVERED._replace(fingerprint="one")])
    assert (len(many), [found.row for found in one]) == (1, [late])


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
