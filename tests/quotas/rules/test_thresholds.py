"""When a percentage of a limit is crossed: tables, and a model that remembers everything."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.database.clock import to_ms
from app.quotas.rules.applicable import Plan
from app.quotas.rules.counters import Counter, CounterKey
from app.quotas.rules.limits import Limit, Scope, Unit, Window, parse_limit
from app.quotas.rules.reservation import Amounts
from app.quotas.rules.thresholds import (
    UNWATCHED,
    NamedThresholdEvent,
    ThresholdEvent,
    Thresholds,
    Watch,
    describe_threshold_event,
)
from tests.quotas.making import NOON, PARTY, on_gateway, on_key, on_user

ONE = Amounts(1, 1, 1, 1)
AT = to_ms(NOON)


def crossed(
    limit: Limit, used: Any, percents: tuple[int, ...] = (50, 80, 100), charged: Amounts = ONE, **watch: Any
) -> list[ThresholdEvent]:
    """What a fresh process finds when a charge brings every unit of the counter to `used`."""
    thresholds = Thresholds(Watch(percents, **watch))
    (key,) = Plan(PARTY, [limit]).applicable(AT).keys
    return thresholds.crossed(limit, key, Counter(used, used, used, used), charged, AT)


def percents_of(threshold_events: list[ThresholdEvent]) -> list[int]:
    return [threshold_event.percent for threshold_event in threshold_events]


@pytest.mark.parametrize(
    ("written", "used", "expected"),
    [
        ("images:10/day", 4, []),
        ("images:10/day", 5, [50]),
        ("images:10/day", 8, [50, 80]),
        ("images:10/day", 9, [50, 80]),
        ("images:10/day", 10, [50, 80, 100]),
        ("images:10/day", 99, [50, 80, 100]),  # more than was held may be charged
        ("images:1/day", 1, [50, 80, 100]),  # several at once: one event each
        ("images:3/day", 1, []),  # 33 %
        ("images:3/day", 2, [50]),  # 67 %
        ("requests:2/minute", 1, [50]),
        ("tokens:1000000000000000/total", 499_999_999_999_999, []),
        ("tokens:1000000000000000/total", 500_000_000_000_000, [50]),
        ("usd:1/month", 499_999_999, []),
        ("usd:1/month", 500_000_000, [50]),
        ("usd:0.000000001/month", 1, [50, 80, 100]),
        ("images:0/day", 0, []),  # nothing was used of nothing
        ("images:0/day", 1, [50, 80, 100]),
        ("concurrent:1", 99, []),  # what has ended is not concurrent
    ],
)
def test_a_percentage_is_due_when_as_much_is_settled(written: str, used: int, expected: list[int]) -> None:
    assert percents_of(crossed(on_key(written), used)) == expected


def test_what_is_only_held_does_not_count() -> None:
    limit = on_key("images:10/day")
    (key,) = Plan(PARTY, [limit]).applicable(AT).keys
    counter = Counter(settled_images=4, pending_images=6)
    assert Thresholds(Watch((50,))).crossed(limit, key, counter, ONE, AT) == []


def test_a_charge_that_takes_nothing_of_the_unit_crosses_nothing() -> None:
    """Such as a release after the limit was lowered: the next charge will."""
    assert crossed(on_key("images:1/day"), 9, charged=Amounts(1, 0, 5, 5)) == []
    assert crossed(on_key("images:1/day"), 9, charged=Amounts(0, 1, 0, 0)) != []


def test_without_percentages_nothing_is_watched() -> None:
    assert crossed(on_key("images:1/day"), 1, ()) == []
    assert Thresholds(UNWATCHED).crossed(on_key("images:1/day"), _key(), Counter(9, 9, 9, 9), ONE, AT) == []


def test_percentages_come_in_any_order() -> None:
    assert percents_of(crossed(on_key("images:10/day"), 9, (100, 5, 90, 5))) == [5, 90]


def test_an_event_says_whose_limit_of_what_and_how_far() -> None:
    limit = parse_limit("usd:5/month@openai/gpt-image-2").on(Scope.USER, "user-1", shadow=True)
    (event,) = crossed(limit, 2_500_000_000, (50,), webhook=True)
    start = to_ms(datetime(2026, 11, 1, tzinfo=NOON.tzinfo))
    assert event == ThresholdEvent(
        *("user", "user-1", "usd", "month", "openai/gpt-image-2", start),
        *(50, 5 * 10**9, 2_500_000_000, True, AT, AT),
    )
    assert event.limit == limit
    assert event.resets_at == datetime(2026, 12, 1, tzinfo=NOON.tzinfo)
    assert describe_threshold_event(NamedThresholdEvent(event, "alice")) == {
        "limit": "usd:5.00/month@openai/gpt-image-2",
        "scope": "user",
        "scope_id": "user-1",
        "scope_name": "alice",
        "unit": "usd",
        "window": "month",
        "model": "openai/gpt-image-2",
        "shadow": True,
        "percent": 50,
        "amount": "5.00",
        "used": "2.50",
        "resets_at": "2026-12-01T00:00:00+00:00",
    }


def test_a_total_never_resets() -> None:
    (event,) = crossed(on_gateway("images:2/total"), 1, (50,))
    assert event.resets_at is None
    told = describe_threshold_event(NamedThresholdEvent(event, "gateway"))
    assert (told["scope_id"], told["model"], told["amount"], told["resets_at"]) == (None, None, 2, None)


@pytest.mark.parametrize(
    ("written", "webhook", "waits"),
    [
        ("images:1/day", True, True),
        ("images:1/hour", True, True),
        ("images:1/total", True, True),
        ("requests:1/minute", True, False),  # a rate: logged and counted, but no message to people
        ("images:1/day", False, False),
    ],
)
def test_who_is_to_be_sent_what(written: str, webhook: bool, waits: bool) -> None:
    (event,) = crossed(on_key(written), 1, (100,), webhook=webhook)
    assert event.next_try_at_ms == (AT if waits else None)


class TestMemory:
    def test_what_is_written_is_not_found_again(self) -> None:
        thresholds, limit, key = Thresholds(Watch((50, 100))), on_key("images:4/day"), _key()
        first = thresholds.crossed(limit, key, Counter(settled_images=2), ONE, AT)
        assert percents_of(first) == [50]
        again = thresholds.crossed(limit, key, Counter(settled_images=3), ONE, AT)
        assert percents_of(again) == [50]  # it was not committed
        thresholds.remember(first)
        assert thresholds.crossed(limit, key, Counter(settled_images=3), ONE, AT) == []
        assert percents_of(thresholds.crossed(limit, key, Counter(settled_images=4), ONE, AT)) == [100]

    def test_units_windows_models_and_owners_are_apart(self) -> None:
        thresholds, limit, key = Thresholds(Watch((50,))), on_key("images:2/day"), _key()
        counter = Counter(1, 1, 1, 1)
        thresholds.remember(thresholds.crossed(limit, key, counter, ONE, AT))
        assert thresholds.crossed(limit, key, counter, ONE, AT) == []
        assert thresholds.crossed(on_key("requests:2/day"), key, counter, ONE, AT)
        for other in (
            key._replace(window_start_ms=key.window_start_ms + 86_400_000),
            key._replace(model="openai/gpt-image-2"),
            key._replace(scope_id="key-2"),
        ):
            assert thresholds.crossed(limit, other, counter, ONE, AT)

    def test_a_lowered_limit_is_due_and_a_raised_one_is_not_again(self) -> None:
        thresholds, key, counter = Thresholds(Watch((50, 100))), _key(), Counter(settled_images=5)
        thresholds.remember(thresholds.crossed(on_key("images:10/day"), key, counter, ONE, AT))
        assert thresholds.crossed(on_key("images:20/day"), key, counter, ONE, AT) == []
        assert percents_of(thresholds.crossed(on_key("images:4/day"), key, counter, ONE, AT)) == [100]

    def test_it_is_bounded_and_forgetting_only_asks_the_store_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.quotas.rules.thresholds._KNOWN_MAX", 10)
        thresholds, limit = Thresholds(Watch((50,))), on_user("images:2/day")
        for number in range(100):
            key = _key()._replace(scope_id=f"user-{number}")
            thresholds.remember(thresholds.crossed(limit, key, Counter(settled_images=1), ONE, AT))
        assert len(thresholds._known) <= 11


def _key(window: Window = Window.DAY, at: datetime = NOON) -> CounterKey:
    return CounterKey("key", "key-1", "", window.value, to_ms(at.replace(hour=0, minute=0, second=0)))


@given(
    percents=st.lists(st.integers(1, 100), min_size=1, max_size=5),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("charge"), st.integers(0, 6)),
            st.tuples(st.just("limit"), st.integers(0, 20)),
            st.tuples(st.just("lost"), st.integers(0, 6)),  # committed, but no answer came
            st.tuples(st.just("tomorrow"), st.just(0)),
            st.tuples(st.just("restart"), st.just(0)),
        ),
        max_size=40,
    ),
)
def test_each_percentage_is_told_once_a_window_at_the_first_charge_that_reaches_it(
    percents: list[int], steps: list[tuple[str, int]]
) -> None:
    """The model: after each charge, whatever is due by plain division and has not been told in this window is told."""
    watch, at = Watch(tuple(percents)), NOON
    thresholds, amount, used = Thresholds(watch), 10, 0
    written: dict[tuple[CounterKey, int], int] = {}  # the store: what it holds it does not take again
    expected: dict[tuple[CounterKey, int], int] = {}
    for what, number in steps:
        if what == "limit":
            amount = number
        elif what == "tomorrow":
            at, used = at + timedelta(days=1), 0
        elif what == "restart":
            thresholds = Thresholds(watch)
        else:
            used += number
            key = _key(at=at)
            found = thresholds.crossed(
                on_key(f"images:{amount}/day"), key, Counter(settled_images=used), Amounts(1, number, 0, 0), to_ms(at)
            )
            for threshold_event in found:
                written.setdefault((key, threshold_event.percent), threshold_event.used)
            if what == "charge":
                thresholds.remember(found)
            if number:
                for percent in percents:
                    if amount == 0 or used / amount >= percent / 100:
                        expected.setdefault((key, percent), used)
        assert written == expected


@pytest.mark.parametrize("unit", [unit for unit in Unit if unit is not Unit.CONCURRENT])
def test_every_unit_is_counted(unit: Unit) -> None:
    counter = Counter(
        **{f"settled_{'nanousd' if unit is Unit.USD else unit.value}": 5 * 10**8 if unit is Unit.USD else 5}
    )
    limit = on_key("usd:1/day" if unit is Unit.USD else f"{unit}:10/day")
    assert percents_of(Thresholds(Watch((50, 80))).crossed(limit, _key(), counter, ONE, AT)) == [50]
