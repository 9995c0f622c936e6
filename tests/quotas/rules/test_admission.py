from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import LimitReached, QuotaExceeded, RateLimited
from app.quotas.rules.admission import Decision, RateStatus, decide
from app.quotas.rules.counters import Counter
from app.quotas.rules.limits import Limit, Unit
from app.quotas.rules.reservation import Amounts
from tests.quotas.making import NOON, on_gateway, on_key, on_team, on_user

ONE = Amounts(1, 1, 1000, 100_000_000)
MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC)


def refused(decision: Decision) -> LimitReached:
    assert decision.refusal is not None
    return decision.refusal.error()


def decide_one(limit: Limit, counter: Counter, amounts: Amounts = ONE, now: datetime = NOON) -> Decision:
    return decide([(limit, counter)], amounts, now)


@pytest.mark.parametrize(
    ("written", "counter", "fits"),
    [
        ("images:10/day", Counter(), True),
        ("images:10/day", Counter(settled_images=9), True),
        ("images:10/day", Counter(settled_images=10), False),
        ("images:10/day", Counter(pending_images=10), False),
        ("images:10/day", Counter(settled_images=5, pending_images=5), False),
        ("images:10/day", Counter(settled_images=5, pending_images=4), True),
        ("images:10/day", Counter(settled_images=25), False),
        ("images:10/day", Counter(settled_requests=99, settled_tokens=99, settled_nanousd=99), True),
        ("images:0/day", Counter(), False),
        ("requests:3/minute", Counter(settled_requests=2), True),
        ("requests:3/minute", Counter(settled_requests=2, pending_requests=1), False),
        ("tokens:1000/day", Counter(), True),
        ("tokens:999/day", Counter(), False),
        ("usd:0.10/day", Counter(), True),
        ("usd:0.10/day", Counter(settled_nanousd=1), False),
        ("concurrent:2", Counter(settled_requests=50, pending_requests=1), True),
        ("concurrent:2", Counter(pending_requests=2), False),
    ],
)
def test_used_and_needed_must_fit(written: str, counter: Counter, fits: bool) -> None:
    assert (decide_one(on_key(written), counter).refusal is None) is fits


def test_every_limit_must_let_it_pass() -> None:
    wide, full = Counter(), Counter(settled_images=10)
    limits_and_counters = [(on_key("images:10/day"), wide), (on_user("images:10/day"), full)]
    assert refused(decide(limits_and_counters, ONE, NOON)).scope == "user"
    assert decide(limits_and_counters[:1], ONE, NOON).refusal is None


def test_what_takes_nothing_of_a_limit_is_not_refused_by_it() -> None:
    free = Amounts(1, 1, 0, 0)
    assert decide_one(on_key("usd:1/day"), Counter(settled_nanousd=2 * 10**9), free).refusal is None


def test_nothing_is_changed_by_deciding() -> None:
    counter = Counter(settled_images=3)
    decide_one(on_key("images:10/day"), counter)
    assert counter == Counter(settled_images=3)


@pytest.mark.parametrize(
    ("limit", "counter", "amounts", "message"),
    [
        (
            on_key("images:100/day"),
            Counter(settled_images=90, pending_images=7),
            Amounts(1, 4, 0, 0),
            "The limit images:100/day of this key is reached: 3 images left, this request needs 4 images. "
            "It resets at 2026-11-25 00:00 UTC.",
        ),
        (
            on_user("usd:5.5/month"),
            Counter(settled_nanousd=5_458_800_000),
            ONE,
            "The limit usd:5.50/month of this key's user is reached: $0.0412 left, this request needs $0.10. "
            "It resets at 2026-12-01 00:00 UTC.",
        ),
        (
            on_team("tokens:20000/week"),
            Counter(settled_tokens=25_000),
            ONE,
            "The limit tokens:20000/week of this user's team is reached: 0 tokens left, this request needs "
            "1,000 tokens. It resets at 2026-11-30 00:00 UTC.",
        ),
        (
            on_gateway("images:5/total"),
            Counter(settled_images=4),
            Amounts(1, 2, 0, 0),
            "The limit images:5/total of the whole gateway is reached: 1 image left, this request needs 2 images. "
            "It does not reset.",
        ),
        (
            on_key("images:2/hour@openai/gpt-image-2"),
            Counter(),
            Amounts(1, 4, 0, 0),
            "The limit images:2/hour@openai/gpt-image-2 of this key can never fit this request, which needs 4 images: "
            "waiting does not help.",
        ),
        (
            on_key("concurrent:2"),
            Counter(pending_requests=2),
            ONE,
            "The limit concurrent:2 of this key is reached: as many requests are running now. "
            "Try again when one of them has ended.",
        ),
    ],
)
def test_a_refusal_tells_people_what_they_need(limit: Limit, counter: Counter, amounts: Amounts, message: str) -> None:
    assert refused(decide_one(limit, counter, amounts)).message == message


@pytest.mark.parametrize("window", ["hour", "day", "week", "month", "total"])
def test_longer_windows_are_quotas(window: str) -> None:
    error = refused(decide_one(on_key(f"requests:1/{window}"), Counter(settled_requests=1)))
    assert isinstance(error, QuotaExceeded)
    assert (error.limit, error.scope, error.unit) == (f"requests:1/{window}", "key", "requests")


def test_a_quota_says_when_it_resets() -> None:
    error = refused(decide_one(on_key("images:1/day"), Counter(settled_images=1)))
    assert isinstance(error, QuotaExceeded)
    assert error.resets_at == MIDNIGHT


def test_a_total_never_resets() -> None:
    error = refused(decide_one(on_key("images:1/total"), Counter(settled_images=1)))
    assert isinstance(error, QuotaExceeded)
    assert error.resets_at is None


@pytest.mark.parametrize(("second", "seconds"), [(0.0, 60), (0.001, 60), (30.0, 30), (58.5, 2), (59.0, 1), (59.999, 1)])
def test_a_minute_is_a_rate_that_says_how_long_to_wait(second: float, seconds: int) -> None:
    now = NOON.replace(second=0) + timedelta(seconds=second)
    error = refused(decide_one(on_key("requests:5/minute"), Counter(settled_requests=5), now=now))
    assert isinstance(error, RateLimited)
    assert error.retry_after_seconds == seconds


def test_concurrency_is_a_rate() -> None:
    error = refused(decide_one(on_key("concurrent:1"), Counter(pending_requests=1)))
    assert isinstance(error, RateLimited)
    assert 1 <= error.retry_after_seconds <= 60


@pytest.mark.parametrize("written", ["images:2/minute", "concurrent:0", "images:2/day"])
def test_what_can_never_pass_is_a_quota_that_never_resets(written: str) -> None:
    error = refused(decide_one(on_key(written), Counter(), Amounts(1, 4, 0, 0)))
    assert isinstance(error, QuotaExceeded)
    assert error.resets_at is None
    assert "waiting does not help" in error.message


def test_of_several_refusals_the_longest_wait_is_told() -> None:
    full = Counter(settled_requests=9, pending_requests=9)
    written = ["concurrent:9", "requests:9/minute", "requests:9/hour", "requests:9/month", "requests:9/total"]
    ranked = [on_key(text) for text in written] + [on_key("requests:0/minute")]
    for shorter, longer in pairwise(ranked):
        for order in ([shorter, longer], [longer, shorter]):
            decision = decide([(limit, full) for limit in order], ONE, NOON)
            assert decision.refusal is not None
            assert decision.refusal.limit is longer


def test_a_shadow_limit_refuses_nothing_and_says_what_it_would_have() -> None:
    shadow = on_key("images:1/day", shadow=True)
    decision = decide_one(shadow, Counter(settled_images=1))
    assert decision.refusal is None
    assert [refusal.label for refusal in decision.shadow] == ["key/images images:1/day"]
    assert decide_one(shadow, Counter()).shadow == ()


class TestRateStatus:
    def test_the_tightest_request_limit_is_told(self) -> None:
        limits_and_counters = [
            (on_key("requests:100/minute"), Counter(settled_requests=10)),
            (on_user("requests:1000/day"), Counter(settled_requests=990, pending_requests=5)),
        ]
        assert decide(limits_and_counters, ONE, NOON).rate == RateStatus(
            1000, 4, int((MIDNIGHT - NOON).total_seconds())
        )

    def test_this_request_counts_as_taken(self) -> None:
        assert decide_one(on_key("requests:3/minute"), Counter()).rate == RateStatus(3, 2, 30)
        last = decide_one(on_key("requests:3/minute"), Counter(pending_requests=2)).rate
        assert last == RateStatus(3, 0, 30)

    @pytest.mark.parametrize("written", ["images:3/minute", "requests:3/total", "concurrent:3"])
    def test_only_request_limits_that_reset_count(self, written: str) -> None:
        assert decide_one(on_key(written), Counter()).rate is None

    def test_shadow_limits_do_not_count(self) -> None:
        assert decide_one(on_key("requests:3/minute", shadow=True), Counter()).rate is None

    def test_a_refused_request_has_none(self) -> None:
        assert decide_one(on_key("requests:3/minute"), Counter(settled_requests=3)).rate is None


amounts_of_any_size = st.integers(0, 20)


@given(
    limits=st.lists(st.tuples(st.sampled_from(["images", "requests", "tokens"]), st.integers(0, 30)), max_size=5),
    used=st.tuples(amounts_of_any_size, amounts_of_any_size, amounts_of_any_size),
    needed=st.tuples(st.just(1), amounts_of_any_size, amounts_of_any_size),
)
def test_what_is_let_in_never_passes_a_limit(
    limits: list[tuple[str, int]], used: tuple[int, int, int], needed: tuple[int, int, int]
) -> None:
    counter = Counter(settled_requests=used[0], settled_images=used[1], pending_tokens=used[2])
    amounts = Amounts(*needed)
    limits_and_counters = [(on_key(f"{unit}:{amount}/day"), counter) for unit, amount in limits]
    if decide(limits_and_counters, amounts, NOON).refusal is not None:
        return
    before = {unit: counter.settled(unit) + counter.pending(unit) for unit in Unit}
    counter.hold(amounts)
    for limit, _ in limits_and_counters:
        after = counter.settled(limit.unit) + counter.pending(limit.unit)
        assert after <= limit.amount or after == before[limit.unit]
