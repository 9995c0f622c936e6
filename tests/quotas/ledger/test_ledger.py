import asyncio
import random
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, func, insert, select, text

from app.database.engine import create_engine, reading, writing
from app.database.schema import ledger_tables, limit_tables
from app.errors import DuplicateReservation, LimitReached, QuotaExceeded, RateLimited, StoreUnavailable
from app.images.catalog.model_spec import MODEL_ID_MAX, RECORDED_WORD_MAX
from app.quotas.ledger.commands import Reserve, Reserved, Resolve, Ticket
from app.quotas.ledger.lease import Lease
from app.quotas.ledger.ledger import Ledger
from app.quotas.ledger.spool.file import Spool
from app.quotas.ledger.waiting import WakeDelay
from app.quotas.reports.limit_status import read_limit_status
from app.quotas.rules.admission import RateStatus
from app.quotas.rules.reservation import Resolution
from tests.quotas.faults import Trouble, install
from tests.quotas.making import (
    MODEL,
    NOON,
    StillClock,
    a_hold,
    add_totals_up,
    counters,
    errors,
    on_gateway,
    on_key,
    on_team,
    on_user,
    released,
    remove_limits,
    rows,
    running_ledger,
    set_limits,
    settled,
    states,
    sweep,
)

LATER = NOON + timedelta(hours=1)


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> Trouble:
    return install(monkeypatch, engine.dialect.loaded_dbapi)


@pytest.fixture
async def ledger(engine: Engine, trouble: Trouble) -> AsyncIterator[Ledger]:
    async with running_ledger(engine) as ledger:
        yield ledger


async def began(trouble: Trouble) -> None:
    assert await asyncio.to_thread(trouble.began.wait, 30)


async def quiet(ledger: Ledger) -> None:
    """Everything submitted before now is done, and what the event loop submits in answer to it."""
    for _ in range(3):
        assert await ledger.resolve("nobody", released()) is Resolution.UNKNOWN


class TestLife:
    async def test_the_longest_words_a_request_may_hold_are_recorded(self, ledger: Ledger, engine: Engine) -> None:
        """PostgreSQL refuses a longer word than its column takes, after the request was found to be in order."""
        word, model = "w" * RECORDED_WORD_MAX, "m" * MODEL_ID_MAX
        await ledger.reserve(a_hold(size=word, quality=word, model=model))
        assert [(row["size"], row["quality"], row["model"]) for row in rows(engine).values()] == [(word, word, model)]

    async def test_reserve_dispatch_settle(self, ledger: Ledger, engine: Engine) -> None:
        set_limits(engine, on_key("images:5/day"))
        assert (await ledger.reserve(a_hold(images=3))).reserved == Reserved(None)
        await ledger.mark_dispatched("r1", NOON)
        await ledger.mark_dispatched("r1", LATER)
        assert await ledger.resolve("r1", settled(LATER, images=2)) is Resolution.DONE
        row = rows(engine)["r1"]
        assert (row["state"], row["instance"], row["held_images"], row["charged_images"]) == ("settled", "one", 3, 2)
        assert row["dispatched_at_ms"] == row["reserved_at_ms"]
        assert counters(engine)["key", "key-1", "", "day"]["settled_images"] == 2
        assert errors(engine) == []

    async def test_a_hold_may_be_dispatched_from_its_first_moment_on(self, ledger: Ledger, engine: Engine) -> None:
        await ledger.reserve(a_hold("sent", is_dispatched=True))
        await ledger.reserve(a_hold("unsent"))
        await ledger.mark_dispatched("sent", LATER)
        assert rows(engine)["sent"]["dispatched_at_ms"] == rows(engine)["sent"]["reserved_at_ms"]
        assert sorted(await sweep(engine, NOON + timedelta(days=1))) == ["sent", "unsent"]
        assert {id_: row["charged_requests"] for id_, row in rows(engine).items()} == {"sent": 1, "unsent": 0}

    async def test_a_release_gives_everything_back(self, ledger: Ledger, engine: Engine) -> None:
        set_limits(engine, on_key("images:3/day"), on_key("requests:1/minute"))
        await ledger.reserve(a_hold(images=3))
        assert await ledger.resolve("r1", released()) is Resolution.DONE
        await ledger.reserve(a_hold("r2", images=3))

    async def test_a_refusal_is_raised_and_leaves_nothing(self, ledger: Ledger, engine: Engine) -> None:
        set_limits(engine, on_key("images:5/day"), on_user("requests:0/minute"), on_team("concurrent:1"))
        with pytest.raises(QuotaExceeded, match="this key's user"):
            await ledger.reserve(a_hold())
        set_limits(engine, on_user("requests:1/minute"))
        assert (await ledger.reserve(a_hold())).reserved.rate == RateStatus(1, 0, 30)
        with pytest.raises(RateLimited) as caught:
            await ledger.reserve(a_hold("r2"))
        assert caught.value.limit == "requests:1/minute"
        assert set(rows(engine)) == {"r1"}

    async def test_shadow_limits_refuse_nothing(self, ledger: Ledger, engine: Engine) -> None:
        set_limits(engine, on_key("images:1/day", shadow=True))
        assert (await ledger.reserve(a_hold("r1"))).reserved.shadow_refusals == ()
        assert (await ledger.reserve(a_hold("r2"))).reserved.shadow_refusals == ("key/images images:1/day",)
        assert counters(engine)["key", "key-1", "", "day"]["pending_images"] == 2

    async def test_an_id_twice_is_a_clear_error(self, ledger: Ledger, engine: Engine) -> None:
        await ledger.reserve(a_hold("r1"))
        with pytest.raises(DuplicateReservation, match="r1"):
            await ledger.reserve(a_hold("r1"))
        await ledger.resolve("r1", settled())
        with pytest.raises(DuplicateReservation, match="r1"):
            await ledger.reserve(a_hold("r1"))
        assert len(rows(engine)) == 1

    async def test_a_second_resolution_changes_nothing(self, ledger: Ledger, engine: Engine) -> None:
        set_limits(engine, on_key("images:5/day"))
        await ledger.reserve(a_hold())
        first, second = await asyncio.gather(
            ledger.resolve("r1", settled(images=1)), ledger.resolve("r1", settled(images=3))
        )
        assert (first, second) == (Resolution.DONE, Resolution.ALREADY_RESOLVED)
        assert await ledger.resolve("none", settled()) is Resolution.UNKNOWN
        assert rows(engine)["r1"]["charged_images"] == 1
        assert errors(engine) == []

    async def test_values_no_request_can_have(self, ledger: Ledger, engine: Engine) -> None:
        with pytest.raises(ValueError, match="negative hold"):
            await ledger.reserve(a_hold(images=-1))
        with pytest.raises(ValueError, match="negative charge"):
            await ledger.resolve("r1", settled(images=-1))
        assert rows(engine) == {}

    async def test_only_a_pending_reservation_may_be_sent(self, ledger: Ledger) -> None:
        with pytest.raises(StoreUnavailable, match="has ended"):
            await ledger.mark_dispatched("r1", NOON)


class TestResolvingWithoutWaiting:
    """A resolution has its place in the queue when `resolve` returns its future."""

    async def test_its_future_ends_with_what_became_of_it(self, ledger: Ledger, engine: Engine) -> None:
        await ledger.reserve(a_hold())
        futures = [ledger.resolve(id_, settled()) for id_ in ("r1", "r1", "nobody")]
        assert [await future for future in futures] == [
            Resolution.DONE,
            Resolution.ALREADY_RESOLVED,
            Resolution.UNKNOWN,
        ]
        assert states(engine) == {"r1": "settled"}

    async def test_it_shares_the_next_reservations_transaction_where_that_is_nobodys_loss(
        self, ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        woken: list[None] = []

        def wake() -> None:
            woken.append(None)
            ledger._writer.wake()

        monkeypatch.setattr("app.quotas.ledger.ledger._LINGER_SECONDS", 60)
        monkeypatch.setattr(ledger, "_wake_delay", WakeDelay(wake))
        await ledger.reserve(a_hold("r1"))
        resolving = ledger.resolve("r1", settled())
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(woken) == (1 if engine.dialect.name == "sqlite" else 2)
        await ledger.reserve(a_hold("r2"))
        assert await resolving is Resolution.DONE

    async def test_who_waits_for_a_reservation_is_told_first(self, ledger: Ledger) -> None:
        told: list[str] = []
        resolve, reserve = Resolve("r1", settled()), Reserve(a_hold("r2"))
        tickets = [Ticket(command, asyncio.get_running_loop().create_future()) for command in (resolve, reserve)]
        for ticket in tickets:
            ticket.waiter.add_done_callback(lambda _, ticket=ticket: told.append(type(ticket.command).__name__))
        ledger._deliver(list(zip(tickets, (Resolution.DONE, Reserved(None)), strict=True)))
        await asyncio.sleep(0)
        assert told == ["Reserve", "Resolve"]

    async def test_closing_waits_for_no_company(
        self, ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.quotas.ledger.ledger._LINGER_SECONDS", 60)
        await ledger.reserve(a_hold())
        resolving = ledger.resolve("r1", settled())
        assert (await ledger.close(), await resolving, states(engine)) == ([], Resolution.DONE, {"r1": "settled"})

    async def test_a_settlement_that_cannot_be_is_refused_at_once(self, ledger: Ledger) -> None:
        with pytest.raises(ValueError, match="negative charge"):
            ledger.resolve("r1", settled(images=-1))

    async def test_cancelling_it_takes_nothing_back(self, ledger: Ledger, engine: Engine) -> None:
        await ledger.reserve(a_hold())
        ledger.resolve("r1", settled()).cancel()
        await quiet(ledger)
        assert states(engine) == {"r1": "settled"}

    async def test_once_the_ledger_is_closed_it_is_refused_and_what_was_not_kept_fails(
        self, engine: Engine, trouble: Trouble
    ) -> None:
        async with running_ledger(engine) as ledger:
            await ledger.reserve(a_hold())
            trouble.fail("begin", 10**6)
            future = ledger.resolve("r1", settled())
            assert await ledger.close(0) == [("r1", settled())]
            with pytest.raises(StoreUnavailable, match="has stopped"):
                await future
            with pytest.raises(StoreUnavailable, match="stopping"):
                ledger.resolve("r1", settled())


class TestLimitsAndTime:
    async def test_a_limit_set_in_mid_window_counts_earlier_use(self, ledger: Ledger, engine: Engine) -> None:
        await ledger.reserve(a_hold("r1", images=3))
        await ledger.resolve("r1", settled(images=2))
        await ledger.reserve(a_hold("r2", images=4))
        await ledger.reserve(a_hold("yesterday", images=50, at=NOON - timedelta(days=1)))
        set_limits(engine, on_team("images:8/day"))
        with pytest.raises(QuotaExceeded, match="2 images left"):
            await ledger.reserve(a_hold("r3", images=3))
        await ledger.reserve(a_hold("r3", images=2))
        assert errors(engine) == []

    async def test_a_settlement_belongs_to_the_window_of_its_reservation(self, ledger: Ledger, engine: Engine) -> None:
        set_limits(engine, on_key("images:3/day"))
        before, after = NOON.replace(hour=23, minute=59), NOON.replace(hour=23, minute=59) + timedelta(minutes=2)
        await ledger.reserve(a_hold("r1", images=3, at=before))
        await ledger.reserve(a_hold("r2", images=3, at=after))
        await ledger.resolve("r1", settled(after, images=1))
        with pytest.raises(QuotaExceeded):
            await ledger.reserve(a_hold("r3", at=after))
        await ledger.reserve(a_hold("r4", images=2, at=before))  # the clock stepped back
        with pytest.raises(QuotaExceeded):
            await ledger.reserve(a_hold("r5", at=before))
        assert errors(engine) == []

    async def test_concurrency_counts_what_runs_now(self, ledger: Ledger, engine: Engine) -> None:
        set_limits(engine, on_key("concurrent:2"))
        await ledger.reserve(a_hold("r1", at=NOON - timedelta(days=3)))
        await ledger.reserve(a_hold("r2"))
        with pytest.raises(RateLimited) as caught:
            await ledger.reserve(a_hold("r3"))
        assert caught.value.unit == "concurrent"
        await ledger.resolve("r1", settled())
        await ledger.reserve(a_hold("r3"))

    async def test_a_model_limit_counts_that_model_only(self, ledger: Ledger, engine: Engine) -> None:
        set_limits(engine, on_user(f"images:1/day@{MODEL}"))
        await ledger.reserve(a_hold("r1"))
        await ledger.reserve(a_hold("r2", model="openai/other", images=9))
        with pytest.raises(QuotaExceeded, match=MODEL):
            await ledger.reserve(a_hold("r3"))

    async def test_editing_a_limit_erases_no_use(self, ledger: Ledger, engine: Engine) -> None:
        set_limits(engine, on_key("images:5/day"))
        await ledger.reserve(a_hold("r1", images=5))
        set_limits(engine, on_key("images:6/day"))
        with pytest.raises(QuotaExceeded, match="1 image left"):
            await ledger.reserve(a_hold("r2", images=2))
        remove_limits(engine, on_key("images:1/day"))
        await ledger.resolve("r1", settled(images=4))
        set_limits(engine, on_key("images:6/day"))
        with pytest.raises(QuotaExceeded, match="2 images left"):
            await ledger.reserve(a_hold("r2", images=3))
        assert errors(engine) == []

    async def test_late_settlements_survive_the_pruning_of_old_counters(self, ledger: Ledger, engine: Engine) -> None:
        set_limits(engine, on_key("images:5/minute"), on_key("images:5/total"))
        await ledger.reserve(a_hold("r1", images=3, expires_at=NOON + timedelta(days=99)))
        await sweep(engine, NOON + timedelta(days=9))
        assert set(counters(engine)) == {("key", "key-1", "", "total")}
        assert await ledger.resolve("r1", settled(NOON + timedelta(days=9), images=2)) is Resolution.DONE
        assert counters(engine)["key", "key-1", "", "minute"]["settled_images"] == 2
        assert errors(engine) == []


class TestExpiry:
    async def test_what_is_overdue_is_closed(self, ledger: Ledger, engine: Engine) -> None:
        set_limits(engine, on_key("images:9/day"))
        for name in ("sent", "unsent", "young", "done"):
            late = {} if name == "young" else {"expires_at": NOON + timedelta(minutes=1)}
            await ledger.reserve(a_hold(name, images=2, **late))
        await ledger.mark_dispatched("sent", NOON)
        await ledger.mark_dispatched("young", NOON)
        await ledger.resolve("done", settled(images=1))
        assert await sweep(engine, NOON + timedelta(minutes=1)) == []
        now = NOON + timedelta(minutes=1, milliseconds=1)
        assert sorted(await sweep(engine, now)) == ["sent", "unsent"]
        assert await sweep(engine, now) == []
        found = rows(engine)
        assert {id_: (row["state"], row["usage_source"], row["charged_images"]) for id_, row in found.items()} == {
            "sent": ("expired", "estimated", 2),
            "unsent": ("expired", "none", 0),
            "young": ("pending", None, None),
            "done": ("settled", "reported", 1),
        }
        assert counters(engine)["key", "key-1", "", "day"] == {
            "pending_requests": 1,
            "pending_images": 2,
            "pending_tokens": 1000,
            "pending_nanousd": 100_000_000,
            "settled_requests": 2,
            "settled_images": 3,
            "settled_tokens": 1800,
            "settled_nanousd": 180_000_000,
        }
        assert await ledger.resolve("done", settled()) is Resolution.ALREADY_RESOLVED
        assert errors(engine) == []

    async def test_any_number_is_closed_in_one_sweep(self, ledger: Ledger, engine: Engine) -> None:
        set_limits(engine, on_key("images:5000/day"))
        await asyncio.gather(*(ledger.reserve(a_hold(f"r{number}")) for number in range(900)))
        row = rows(engine)["r0"]
        more = [row | {"id": f"x{number}"} for number in range(400)]
        with writing(engine) as connection:
            connection.execute(insert(ledger_tables.reservations), more)
            add_totals_up(connection)
            connection.execute(delete(limit_tables.counters))
        assert len(await sweep(engine, LATER)) == 1300
        assert set(states(engine).values()) == {"expired"}
        assert errors(engine) == []

    async def test_at_start_a_single_process_closes_what_its_ancestors_left(
        self, engine: Engine, store_kind: str
    ) -> None:
        set_limits(engine, on_key("concurrent:2"))
        async with running_ledger(engine, instance="before") as ledger:
            await ledger.reserve(a_hold("sent"))
            await ledger.mark_dispatched("sent", NOON)
            await ledger.reserve(a_hold("unsent"))
        async with running_ledger(engine, instance="after") as ledger:
            closed = await ledger.expire_orphans(NOON)
            if store_kind == "postgresql":  # they may belong to a process that is well
                assert closed == []
                assert set(states(engine).values()) == {"pending"}
            else:
                assert sorted(closed) == ["sent", "unsent"]
                await ledger.reserve(a_hold("mine"))
                assert await ledger.expire_orphans(NOON) == []
                assert states(engine)["mine"] == "pending"

    async def test_a_sweep_while_the_store_is_away_says_so(
        self, ledger: Ledger, trouble: Trouble, engine: Engine
    ) -> None:
        await ledger.reserve(a_hold())
        trouble.fail("begin", 9)
        with pytest.raises(StoreUnavailable):
            await sweep(engine, LATER)
        trouble.fail("begin", 0)
        assert await sweep(engine, LATER) == ["r1"]


class TestNobodyWaits:
    """A reserve whose caller has gone leaves nothing reserved."""

    async def test_cancelled_before_its_turn_it_never_happens(
        self, ledger: Ledger, trouble: Trouble, engine: Engine
    ) -> None:
        trouble.hold_back()
        first = asyncio.ensure_future(ledger.reserve(a_hold("first")))
        await began(trouble)
        second = asyncio.ensure_future(ledger.reserve(a_hold("second")))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        trouble.may_begin.set()
        await first
        await quiet(ledger)
        assert states(engine) == {"first": "pending"}

    async def test_cancelled_in_its_turn_it_is_released(self, ledger: Ledger, trouble: Trouble, engine: Engine) -> None:
        set_limits(engine, on_key("concurrent:1"))
        trouble.hold_back()
        task = asyncio.ensure_future(ledger.reserve(a_hold()))
        await began(trouble)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        trouble.may_begin.set()
        await quiet(ledger)
        assert (rows(engine)["r1"]["state"], rows(engine)["r1"]["outcome"]) == ("released", "withdrawn")
        await ledger.reserve(a_hold("r2"))
        assert errors(engine) == []

    async def test_cancelled_when_the_answer_is_there_it_is_released(
        self, ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deliver = ledger._deliver
        tasks: list[asyncio.Task[Any]] = []

        def deliver_and_cancel(served: Any) -> None:
            deliver(served)
            if served and isinstance(served[0][0].command, Reserve):
                assert served[0][0].waiter.done()
                assert not tasks[0].done()
                tasks[0].cancel()

        monkeypatch.setattr(ledger, "_deliver", deliver_and_cancel)
        tasks.append(asyncio.ensure_future(ledger.reserve(a_hold())))
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        await quiet(ledger)
        assert states(engine) == {"r1": "released"}

    @pytest.mark.parametrize("stuck", [True, False], ids=["in its turn", "before its turn"])
    async def test_a_wait_that_is_too_long_is_told_and_leaves_nothing(
        self, engine: Engine, trouble: Trouble, stuck: bool
    ) -> None:
        async with running_ledger(engine, wait_seconds=0.2) as ledger:
            trouble.hold_back()
            blocker = asyncio.ensure_future(ledger.resolve("nobody", released()))
            if not stuck:
                await began(trouble)
            with pytest.raises(StoreUnavailable, match="does not answer in time"):
                await ledger.reserve(a_hold())
            trouble.may_begin.set()
            await blocker
            await quiet(ledger)
        assert states(engine) in ({}, {"r1": "released"})
        assert errors(engine) == []

    @pytest.mark.parametrize(("where", "left"), [("commit", {}), ("answer", {"r1": "released"})])
    async def test_a_commit_nobody_heard_of_is_undone(
        self, ledger: Ledger, trouble: Trouble, engine: Engine, where: str, left: dict[str, str]
    ) -> None:
        set_limits(engine, on_key("images:1/day"))
        trouble.fail(where)
        with pytest.raises(StoreUnavailable, match="not available"):
            await ledger.reserve(a_hold())
        await quiet(ledger)
        assert states(engine) == left
        await ledger.reserve(a_hold("r2"))
        assert errors(engine) == []

    async def test_hang_ups_at_random_moments_leave_no_hold(self, ledger: Ledger, engine: Engine) -> None:
        set_limits(engine, on_key("concurrent:1000"), on_team("images:1000/day"))
        chance = random.Random(4)
        kept: list[str] = []

        async def one(number: int) -> None:
            async with asyncio.timeout(chance.random() * 0.02):
                await ledger.reserve(a_hold(f"r{number}"))
            kept.append(f"r{number}")

        for wave in range(5):
            await asyncio.gather(*(one(wave * 60 + number) for number in range(60)), return_exceptions=True)
        await quiet(ledger)
        pending = {id_ for id_, state in states(engine).items() if state == "pending"}
        assert pending == set(kept)
        assert errors(engine) == []


class TestStoreAway:
    async def test_a_resolution_is_kept_until_the_store_is_back(
        self, ledger: Ledger, trouble: Trouble, engine: Engine
    ) -> None:
        set_limits(engine, on_key("images:9/day"))
        await asyncio.gather(*(ledger.reserve(a_hold(f"r{number}")) for number in range(5)))
        trouble.fail("commit", 4)
        outcomes = await asyncio.gather(*(ledger.resolve(f"r{number}", settled()) for number in range(5)))
        assert set(outcomes) == {Resolution.DONE}
        assert counters(engine)["key", "key-1", "", "day"]["settled_images"] == 5
        assert errors(engine) == []

    async def test_a_resolution_whose_caller_left_is_written_all_the_same(
        self, ledger: Ledger, trouble: Trouble, engine: Engine
    ) -> None:
        await ledger.reserve(a_hold())
        trouble.hold_back()
        task = asyncio.ensure_future(ledger.resolve("r1", settled()))
        await began(trouble)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        trouble.may_begin.set()
        await quiet(ledger)
        assert states(engine) == {"r1": "settled"}

    async def test_commits_that_fail_at_random_lose_and_double_nothing(
        self, ledger: Ledger, trouble: Trouble, engine: Engine
    ) -> None:
        set_limits(engine, on_key("images:1000/day"), on_team("usd:100/month"))
        bought = 0

        async def one(number: int) -> None:
            nonlocal bought
            try:
                await ledger.reserve(a_hold(f"r{number}"))
                await ledger.mark_dispatched(f"r{number}", NOON)
            except StoreUnavailable:
                await ledger.resolve(f"r{number}", released())
                return
            assert await ledger.resolve(f"r{number}", settled()) is Resolution.DONE
            bought += 1

        trouble.chance = random.Random(7)
        for wave in range(10):
            await asyncio.gather(*(one(wave * 10 + number) for number in range(10)))
        trouble.chance = None
        await quiet(ledger)
        found = rows(engine).values()
        assert {row["state"] for row in found} <= {"settled", "released"}
        assert sum(row["state"] == "settled" for row in found) == bought
        assert bought > 0
        assert counters(engine)["key", "key-1", "", "day"]["settled_images"] == bought
        assert errors(engine) == []

    async def test_a_full_queue_refuses(self, engine: Engine, trouble: Trouble) -> None:
        async with running_ledger(engine, queue_max=3) as ledger:
            trouble.hold_back()
            first = asyncio.ensure_future(ledger.reserve(a_hold("first")))
            await began(trouble)
            waiting = [asyncio.ensure_future(ledger.reserve(a_hold(f"r{number}"))) for number in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(StoreUnavailable, match="cannot keep up"):
                await ledger.reserve(a_hold("refused"))
            trouble.may_begin.set()
            await asyncio.gather(first, *waiting)
            assert len(states(engine)) == 4


class TestClose:
    async def test_closing_writes_what_waits(self, engine: Engine, trouble: Trouble) -> None:
        async with running_ledger(engine) as ledger:
            await asyncio.gather(*(ledger.reserve(a_hold(f"r{number}")) for number in range(50)))
            trouble.hold_back()
            settling = [asyncio.ensure_future(ledger.resolve(f"r{number}", settled())) for number in range(50)]
            await began(trouble)
            trouble.may_begin.set()
            assert await ledger.close() == []
            assert set(await asyncio.gather(*settling)) == {Resolution.DONE}
            with pytest.raises(StoreUnavailable, match="stopping"):
                await ledger.reserve(a_hold("late"))
        assert set(states(engine).values()) == {"settled"}

    async def test_what_cannot_be_written_is_handed_back(self, engine: Engine, trouble: Trouble) -> None:
        async with running_ledger(engine) as ledger:
            await ledger.reserve(a_hold())
            trouble.fail("begin", 10**6)
            settling = asyncio.ensure_future(ledger.resolve("r1", settled()))
            await began(trouble)
            assert await ledger.close(0.2) == [("r1", settled())]
            with pytest.raises(StoreUnavailable, match="has stopped"):
                await settling
        assert states(engine) == {"r1": "pending"}


class TestSpool:
    """With a spool, what the store does not take survives the process. spool/test_keeper.py has the cases."""

    @pytest.fixture
    def spool(self, tmp_path: Path) -> Callable[[str], Spool]:
        return lambda name: Spool(tmp_path / "spool", name, 100_000)

    async def test_a_resolution_that_is_safe_on_disk_is_waited_for_no_longer(
        self, engine: Engine, trouble: Trouble, spool: Callable[[str], Spool]
    ) -> None:
        async with running_ledger(engine, spool=spool("one")) as ledger:
            await ledger.reserve(a_hold())
            trouble.fail("begin", 10**9)
            assert await ledger.resolve("r1", settled()) is Resolution.SPOOLED
            trouble.fail("begin", 0)
            await quiet(ledger)
            assert states(engine) == {"r1": "settled"}

    async def test_what_a_stop_leaves_is_written_at_the_next_start_before_orphans_expire(
        self, engine: Engine, trouble: Trouble, spool: Callable[[str], Spool], tmp_path: Path
    ) -> None:
        set_limits(engine, on_key("images:9/day"))
        async with running_ledger(engine, instance="before", spool=spool("before")) as ledger:
            await ledger.reserve(a_hold("r1", images=2))
            await ledger.mark_dispatched("r1", NOON)
            await ledger.reserve(a_hold("r2"))
            trouble.fail("begin", 10**9)
            settling = asyncio.ensure_future(ledger.resolve("r1", settled(images=1)))
            await asyncio.sleep(0)
            assert await ledger.close(0) == []
            assert await settling is Resolution.SPOOLED
        trouble.fail("begin", 0)
        async with running_ledger(engine, instance="after", spool=spool("after")) as ledger:
            assert await ledger.expire_orphans(LATER) == (["r2"] if engine.dialect.name == "sqlite" else [])
            await quiet(ledger)
        found = rows(engine)["r1"]
        assert (found["state"], found["usage_source"], found["charged_images"]) == ("settled", "reported", 1)
        assert list((tmp_path / "spool").iterdir()) == []
        assert errors(engine) == []

    async def test_a_sweep_writes_what_others_left_before_it_expires_them(
        self, engine: Engine, spool: Callable[[str], Spool]
    ) -> None:
        async with running_ledger(engine, spool=spool("one")) as ledger:
            await ledger.reserve(a_hold("known"))
            await ledger.reserve(a_hold("unknown"))
        async with running_ledger(engine, instance="other", spool=spool("other")) as ledger:
            dead = spool("dead")
            dead.keep([Resolve("known", settled())])
            dead.close()
            assert await ledger.expire(LATER) == ["unknown"]
        assert states(engine) == {"known": "settled", "unknown": "expired"}


async def test_a_ledger_says_whether_its_store_answers(engine: Engine, store_kind: str) -> None:
    async with running_ledger(engine) as ledger:
        await ledger.ask()
        with writing(engine) as connection:
            connection.execute(text("ALTER TABLE reservations RENAME TO gone"))
        with pytest.raises(StoreUnavailable):
            await ledger.ask()
        # A table somebody has to bring back is a store that is away, not a command that is wrong.
        settling = asyncio.ensure_future(ledger.resolve("r1", released()))
        with pytest.raises(StoreUnavailable, match="not available"):
            await ledger.reserve(a_hold())
        with writing(engine) as connection:
            connection.execute(text("ALTER TABLE gone RENAME TO reservations"))
        assert await settling is Resolution.UNKNOWN


class TestMany:
    async def test_fifty_at_once_and_ten_places(self, engine: Engine) -> None:
        set_limits(engine, on_key("images:10/day"))
        async with running_ledger(engine) as ledger:
            outcomes = await asyncio.gather(
                *(ledger.reserve(a_hold(f"r{number}")) for number in range(50)), return_exceptions=True
            )
        assert sum(isinstance(outcome, Lease) for outcome in outcomes) == 10
        assert sum(isinstance(outcome, QuotaExceeded) for outcome in outcomes) == 40
        assert len(rows(engine)) == 10
        assert errors(engine) == []

    async def test_ten_places_for_several_processes(self, engine: Engine, store_url: str) -> None:
        set_limits(engine, on_team("images:10/day"), on_gateway("concurrent:12"))
        other = create_engine(store_url)
        async with running_ledger(engine) as one, running_ledger(other, instance="two") as two:
            outcomes = await asyncio.gather(
                *((one, two)[number % 2].reserve(a_hold(f"r{number}")) for number in range(50)), return_exceptions=True
            )
        other.dispose()
        assert sum(isinstance(outcome, Lease) for outcome in outcomes) == 10
        assert sum(isinstance(outcome, LimitReached) for outcome in outcomes) == 40
        assert errors(engine) == []

    async def test_several_processes_under_changing_limits(self, engine: Engine, store_url: str) -> None:
        """Three ledgers, many keys that share counters, limits that come and go, sweeps in between: nothing waits in
        a circle, nobody passes the one limit that stays, and the audit finds nothing."""
        set_limits(engine, on_gateway("images:150/day"))
        clock = StillClock()
        engines = [create_engine(store_url) for _ in range(3)]
        chance = random.Random(11)
        taken = 0

        async def one(ledger: Ledger, number: int) -> None:
            nonlocal taken
            key, day = chance.randrange(5), timedelta(minutes=chance.randrange(3))
            hold = a_hold(f"r{number}", at=NOON + day, key_id=f"key-{key}", user_id=f"user-{key % 2}")
            try:
                await ledger.reserve(hold)
            except LimitReached:
                return
            taken += 1
            if chance.random() < 0.9:
                await ledger.mark_dispatched(hold.id, NOON)
                await ledger.resolve(hold.id, settled() if chance.random() < 0.7 else settled(images=0))

        def edit() -> None:
            for turn in range(12):
                some = [
                    on_key("images:1000/minute", f"key-{turn % 5}"),
                    on_user("concurrent:500", f"user-{turn % 2}"),
                    on_team("usd:1000/month"),
                ]
                set_limits(engine, *some)
                if turn % 3 == 0:
                    remove_limits(engine, *some)

        async with (
            running_ledger(engines[0], clock, instance="0") as a,
            running_ledger(engines[1], clock, instance="1") as b,
            running_ledger(engines[2], clock, instance="2") as c,
        ):
            ledgers = [a, b, c]
            editing = asyncio.ensure_future(asyncio.to_thread(edit))
            await asyncio.gather(
                *(one(ledgers[number % 3], number) for number in range(300)), a.expire(NOON), b.expire(NOON)
            )
            await editing
            await asyncio.gather(*(one(ledgers[number % 3], number) for number in range(300, 400)))
            assert len(rows(engine)) == taken
            await asyncio.gather(*(sweep(each, NOON + timedelta(hours=1)) for each in engines))
        for each in engines:
            each.dispose()
        with reading(engine) as connection:
            used = connection.execute(select(func.sum(ledger_tables.reservations.c.charged_images))).scalar_one()
        assert used <= 150
        assert set(states(engine).values()) <= {"settled", "expired"}
        assert errors(engine) == []


async def test_limits_of_a_caller(ledger: Ledger, engine: Engine) -> None:
    set_limits(
        engine,
        on_gateway("concurrent:9"),
        on_user("usd:5/month"),
        on_key("images:5/day"),
        on_key("images:1/day", "key-2"),
    )
    await ledger.reserve(a_hold("r1", images=2))
    await ledger.reserve(a_hold("r2", images=1))
    await ledger.resolve("r1", settled(images=2))
    found = read_limit_status(engine, "key-1", "user-1", "team-1", NOON)
    assert [(status.written, status.used, status.pending, status.left) for status in found] == [
        ("images:5/day", 3, 1, 2),
        ("usd:5.00/month", 180_000_000, 100_000_000, 4_820_000_000),
        ("concurrent:9", 1, 1, 8),
    ]


def test_every_store_has_its_tests(make_store: Callable[[], str], store_kind: str) -> None:
    assert make_store().startswith(store_kind)
