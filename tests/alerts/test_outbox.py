"""Threshold events in the store: written once by whoever crosses first, leased to one sender, cleaned up when old."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from app.alerts.outbox import finish_tries, take_due
from app.database.clock import from_ms, to_ms
from app.database.engine import create_engine, writing
from app.database.schema import limit_tables
from app.quotas.ledger.liveness.pruning import prune_events
from app.quotas.reports.limit_status import read_limit_status
from app.quotas.rules.thresholds import EVENT_AGE_MAX, NamedThresholdEvent, ThresholdEvent, Watch
from tests.quotas.making import (
    NOON,
    StillClock,
    a_hold,
    errors,
    events,
    on_gateway,
    on_key,
    on_team,
    on_user,
    running_ledger,
    set_limits,
    settled,
)

LEASE = timedelta(minutes=1)
LATER = NOON + timedelta(hours=1)


class Heard(list[NamedThresholdEvent]):
    """What a ledger announced."""

    def watch(self, *percents: int, webhook: bool = True) -> Watch:
        return Watch(percents or (50, 80, 100), webhook, self.hear)

    def hear(self, crossed: Sequence[NamedThresholdEvent]) -> None:
        self.extend(crossed)

    @property
    def percents(self) -> list[int]:
        return sorted(told.threshold_event.percent for told in self)


def an_event(percent: int = 50, at: datetime = NOON, **fields: Any) -> ThresholdEvent:
    start = to_ms(NOON.replace(hour=0, minute=0, second=0))
    made = ThresholdEvent("key", "key-1", "images", "day", "", start, percent, 10, 5, False, to_ms(at), to_ms(at))
    return made._replace(**fields)


def write(engine: Engine, *threshold_events: ThresholdEvent) -> None:
    with writing(engine) as connection:
        connection.execute(
            insert(limit_tables.threshold_events), [threshold_event._asdict() for threshold_event in threshold_events]
        )


class TestLedger:
    async def test_a_charge_writes_the_event_with_it_and_it_is_announced_after(self, engine: Engine) -> None:
        heard = Heard()
        set_limits(engine, on_key("images:10/day"), on_team("usd:1/month"), on_key("concurrent:9"))
        async with running_ledger(engine, watch=heard.watch()) as ledger:
            await ledger.reserve(a_hold(images=10))
            assert (events(engine), heard) == ([], [])
            await ledger.resolve("r1", settled(LATER, images=8, nanousd=500_000_000))
        assert [(event["scope"], event["unit"], event["percent"], event["used"]) for event in events(engine)] == [
            ("key", "images", 50, 8),
            ("key", "images", 80, 8),
            ("team", "usd", 50, 500_000_000),
        ]
        assert {event["crossed_at_ms"] for event in events(engine)} == {to_ms(LATER)}
        assert {event["next_try_at_ms"] for event in events(engine)} == {to_ms(LATER)}
        assert heard.percents == [50, 50, 80]

    async def test_many_processes_write_one_event_a_limit_window_and_percentage(
        self, engine: Engine, store_url: str
    ) -> None:
        """Both charge the same user's limits at once, with memories of their own."""
        set_limits(
            engine,
            on_user("images:40/day"),
            on_user("images:40/total"),
            on_gateway("requests:40/day"),
            on_key("usd:99/day"),
        )
        first, second = Heard(), Heard()
        other_engine = create_engine(store_url)
        async with (
            running_ledger(engine, watch=first.watch()) as one,
            running_ledger(other_engine, instance="two", watch=second.watch()) as two,
        ):

            async def buy(number: int) -> None:
                ledger, id_ = (one, two)[number % 2], f"r{number}"
                await ledger.reserve(a_hold(id_, key_id=f"key-{number % 5}"))
                await ledger.resolve(id_, settled())

            await asyncio.gather(*(buy(number) for number in range(40)))
        other_engine.dispose()
        written = events(engine)
        assert sorted((event["unit"], event["window"], event["percent"]) for event in written) == sorted(
            (unit, window, percent)
            for unit, window in (("images", "day"), ("images", "total"), ("requests", "day"))
            for percent in (50, 80, 100)
        )
        # Each was written at the very charge that reached it, and told by the one process that wrote it.
        assert {(event["percent"], event["used"]) for event in written} == {(50, 20), (80, 32), (100, 40)}
        assert sorted([*first.percents, *second.percents]) == sorted([50, 80, 100] * 3)
        assert errors(engine) == []

    async def test_a_new_process_does_not_tell_again(self, engine: Engine) -> None:
        set_limits(engine, on_key("images:4/day"))
        for number, expected in ((1, []), (2, [50]), (3, []), (4, [80, 100])):
            heard = Heard()
            async with running_ledger(engine, watch=heard.watch()) as ledger:
                await ledger.reserve(a_hold(f"r{number}"))
                await ledger.resolve(f"r{number}", settled())
            assert heard.percents == expected

    async def test_each_window_has_its_own(self, engine: Engine) -> None:
        heard = Heard()
        set_limits(engine, on_key("images:1/day"))
        async with running_ledger(engine, watch=heard.watch(100)) as ledger:
            for number in range(3):
                at = NOON + timedelta(days=number)
                await ledger.reserve(a_hold(f"r{number}", at=at))
                await ledger.resolve(f"r{number}", settled(at))
        assert len({event["window_start_ms"] for event in events(engine)}) == len(heard) == 3

    async def test_a_lowered_limit_is_due_at_the_next_charge_and_a_raised_one_not_again(self, engine: Engine) -> None:
        heard = Heard()
        set_limits(engine, on_key("images:10/day"))
        async with running_ledger(engine, watch=heard.watch()) as ledger:
            for number in range(6):
                await ledger.reserve(a_hold(f"r{number}"))
            await ledger.resolve("r0", settled(images=5))
            set_limits(engine, on_key("images:5/day"))
            assert read_limit_status(engine, "key-1", "user-1", None, NOON)
            await ledger.resolve("nobody", settled())  # what was crossed is announced after its answer, before the next
            assert heard.percents == [50]
            await ledger.resolve("r1", settled(images=0))  # no image, no charge of images
            assert heard.percents == [50]
            await ledger.resolve("r2", settled(images=1))
            set_limits(engine, on_key("images:100/day"))
            await ledger.resolve("r3", settled(images=1))
        assert heard.percents == [50, 80, 100]
        assert [(event["amount"], event["used"]) for event in events(engine)] == [(10, 5), (5, 6), (5, 6)]

    async def test_a_shadow_limit_is_marked_and_a_model_limit_named(self, engine: Engine) -> None:
        set_limits(engine, on_key("images:1/day@openai/gpt-image-2", shadow=True), on_key("images:2/day@openai/other"))
        async with running_ledger(engine, watch=Heard().watch(100)) as ledger:
            for number in range(2):
                await ledger.reserve(a_hold(f"r{number}"))
                await ledger.resolve(f"r{number}", settled())
        (event,) = events(engine)
        assert (event["shadow"], event["model"], event["used"]) == (True, "openai/gpt-image-2", 1)

    async def test_the_sweep_crosses_too(self, engine: Engine) -> None:
        heard = Heard()
        set_limits(engine, on_key("images:1/day"))
        async with running_ledger(engine) as ledger:
            await ledger.reserve(a_hold())
            await ledger.mark_dispatched("r1", NOON)
        async with running_ledger(engine, instance="other", watch=heard.watch(100)) as ledger:
            assert await ledger.expire(LATER) == ["r1"]
        assert heard.percents == [100]

    async def test_without_a_webhook_nothing_waits_to_be_sent(self, engine: Engine) -> None:
        set_limits(engine, on_key("images:1/day"))
        async with running_ledger(engine, watch=Heard().watch(100, webhook=False)) as ledger:
            await ledger.reserve(a_hold())
            await ledger.resolve("r1", settled())
        assert [event["next_try_at_ms"] for event in events(engine)] == [None]
        assert take_due(engine, LATER, LEASE, 9) == []


class TestLease:
    def test_due_events_are_given_once_the_oldest_first(self, engine: Engine) -> None:
        write(
            engine, *(an_event(percent, NOON - timedelta(minutes=percent)) for percent in (1, 3, 2)), an_event(4, LATER)
        )
        first, second = take_due(engine, NOON, LEASE, 2), take_due(engine, NOON, LEASE, 2)
        assert [event.named_event.threshold_event.percent for event in (*first, *second)] == [3, 2, 1]
        assert take_due(engine, NOON, LEASE, 2) == []

    def test_a_lease_ends_and_the_event_is_given_again(self, engine: Engine) -> None:
        write(engine, an_event())
        (event,) = take_due(engine, NOON, LEASE, 9)
        assert (event.tries, event.named_event) == (1, NamedThresholdEvent(an_event(), "key-1"))
        assert take_due(engine, NOON + LEASE - timedelta(milliseconds=1), LEASE, 9) == []
        (again,) = take_due(engine, NOON + LEASE, LEASE, 9)
        assert (again.id, again.tries) == (event.id, 2)

    def test_what_is_finished_is_never_given_again(self, engine: Engine) -> None:
        write(engine, an_event())
        (event,) = take_due(engine, NOON, LEASE, 9)
        finish_tries(engine, [(event, None)])
        assert take_due(engine, LATER, LEASE, 9) == []

    def test_what_failed_is_given_when_it_is_time(self, engine: Engine) -> None:
        write(engine, an_event())
        (event,) = take_due(engine, NOON, LEASE, 9)
        finish_tries(engine, [(event, LATER)])
        assert take_due(engine, LATER - timedelta(milliseconds=1), LEASE, 9) == []
        assert len(take_due(engine, LATER, LEASE, 9)) == 1

    def test_who_comes_back_after_the_lease_changes_nothing(self, engine: Engine) -> None:
        write(engine, an_event())
        (slow,) = take_due(engine, NOON, LEASE, 9)
        (quick,) = take_due(engine, LATER, LEASE, 9)
        finish_tries(engine, [(slow, None)])
        assert events(engine)[0]["next_try_at_ms"] == to_ms(LATER + LEASE)
        finish_tries(engine, [(quick, None)])
        assert events(engine)[0]["next_try_at_ms"] is None

    def test_old_news_is_not_given(self, engine: Engine) -> None:
        write(engine, an_event())
        assert take_due(engine, NOON + EVENT_AGE_MAX + timedelta(seconds=1), LEASE, 9) == []

    async def test_senders_that_ask_at_once_share_the_events(self, engine: Engine) -> None:
        write(engine, *(an_event(percent) for percent in range(1, 41)))
        taken = await asyncio.gather(*(asyncio.to_thread(take_due, engine, NOON, LEASE, 5) for _ in range(8)))
        ids = [event.id for some in taken for event in some]
        assert len(ids) == len(set(ids))
        while some := take_due(engine, NOON, LEASE, 5):
            ids += [event.id for event in some]
        assert len(ids) == len(set(ids)) == 40


class TestPruning:
    @pytest.mark.parametrize(
        ("window", "days", "stays"),
        [
            *[("minute", 1, True), ("minute", 3, False), ("day", 2, True), ("day", 4, False)],
            *[("month", 30, True), ("month", 40, False), ("total", 4000, True)],
        ],
    )
    def test_events_of_windows_that_ended_days_ago_go(
        self, engine: Engine, window: str, days: int, *, stays: bool
    ) -> None:
        start = {"minute": NOON.replace(second=0), "month": NOON.replace(day=1, hour=0, minute=0, second=0)}.get(window)
        start_ms = 0 if window == "total" else to_ms(start) if start else an_event().window_start_ms
        write(engine, an_event(window=window, window_start_ms=start_ms, next_try_at_ms=None))
        begin = from_ms(start_ms) if window == "month" else NOON
        prune_events(engine, begin + timedelta(days=days))
        assert bool(events(engine)) is stays

    def test_what_is_still_to_be_sent_stays_until_it_is_old(self, engine: Engine) -> None:
        last_year = to_ms(NOON - timedelta(days=365))
        write(engine, an_event(window_start_ms=last_year))
        prune_events(engine, NOON + timedelta(hours=1))
        assert len(events(engine)) == 1
        prune_events(engine, NOON + EVENT_AGE_MAX + timedelta(seconds=1))
        assert events(engine) == []

    def test_a_call_is_bounded(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.quotas.ledger.liveness.pruning._PRUNE_MAX", 3)
        write(engine, *(an_event(percent, next_try_at_ms=None) for percent in range(1, 8)))
        for left in (4, 1, 0, 0):
            prune_events(engine, NOON + timedelta(days=9))
            assert len(events(engine)) == left

    async def test_the_sweep_does_it(self, engine: Engine) -> None:
        write(engine, an_event(next_try_at_ms=None))
        async with running_ledger(engine, StillClock()) as ledger:
            await ledger.expire(NOON + timedelta(days=9))
        assert events(engine) == []


async def test_two_stores_know_nothing_of_each_other(make_store: Callable[[], str]) -> None:
    engines = [create_engine(make_store()) for _ in range(2)]
    write(engines[0], an_event())
    assert [len(take_due(engine, NOON, LEASE, 9)) for engine in engines] == [1, 0]
    for engine in engines:
        engine.dispose()
