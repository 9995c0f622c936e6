"""Budgets and rates as limits: the same window, or a longer one with the same amount; never more than before."""

from typing import Any

import pytest

from app.admin.litellm.limits import written_limits
from app.admin.litellm.models import Models
from app.admin.litellm.objects import LitellmOwner
from app.images.catalog.catalog import load_catalog

MODELS = Models(load_catalog(), [])


def converted(**said: Any) -> tuple[list[str], list[tuple[str, str]]]:
    found: list[tuple[str, str]] = []
    return written_limits(
        LitellmOwner.model_validate(said), MODELS, lambda field, note: found.append((field, note))
    ), found


@pytest.mark.parametrize(
    ("duration", "window"),
    [
        (None, "total"),
        ("60s", "minute"), ("1m", "minute"), ("60m", "hour"), ("1h", "hour"), ("24h", "day"), ("1d", "day"),
        ("7d", "week"), ("1w", "week"), ("28d", "month"), ("30d", "month"), ("31d", "month"), ("1mo", "month"),
    ],
)  # fmt: skip
def test_a_budget_keeps_its_window(duration: str | None, window: str) -> None:
    assert converted(max_budget=1.25, budget_duration=duration) == ([f"usd:1.25/{window}"], [])


@pytest.mark.parametrize(
    ("duration", "window", "says"),
    [
        ("30s", "minute", "for a whole minute, which allows less"),
        ("2h", "day", "for a whole day"),
        ("3d", "week", "for a whole week"),
        ("14d", "month", "for a whole month"),
        ("3mo", "total", "for good, which allows less"),
        ("sometimes", "total", "'sometimes' is no length of time: the budget is for good"),
    ],
)
def test_a_budget_without_a_window_of_its_length_gets_the_next_longer_one_and_says_so(
    duration: str, window: str, says: str
) -> None:
    limits, notes = converted(max_budget=1, budget_duration=duration)
    assert limits == [f"usd:1/{window}"]
    [(field, note)] = notes
    assert field == "budget_duration"
    assert says in note


@pytest.mark.parametrize(
    ("amount", "written"),
    [(0, "0"), (-1, "0"), (5, "5"), (100.0, "100"), (0.1, "0.1"), (1e-9, "0.000000001"), (1e-10, "0"),
     (1.0000000019, "1.000000001")],
)  # fmt: skip
def test_an_amount_is_exact_and_never_rounded_up(amount: float, written: str) -> None:
    assert converted(max_budget=amount) == ([f"usd:{written}/total"], [])


def test_rates_and_requests_at_a_time() -> None:
    limits, notes = converted(rpm_limit=60, tpm_limit=1000, tpd_limit=5000, max_parallel_requests=3)
    assert limits == ["requests:60/minute", "tokens:1000/minute", "tokens:5000/day", "concurrent:3"]
    assert notes == []


def test_budgets_of_one_model_and_several_windows() -> None:
    limits, notes = converted(
        model_max_budget={
            "gpt-image-2": {"budget_limit": 5, "time_period": "1d"},
            "azure/gpt-image-2.5-flare": {"max_budget": 7, "budget_duration": "30d"},
            "gpt-4o": {"budget_limit": 1, "time_period": "1d"},
        },
        budget_limits=[{"max_budget": 2, "budget_duration": "1h"}, {"max_budget": 9, "budget_duration": "1d"}],
        metadata={"model_rpm_limit": {"gpt-image-2": 4}, "model_tpm_limit": {"gpt-image-2": 8}},
    )
    assert limits == [
        "usd:2/hour", "usd:9/day",
        "usd:5/day@openai/gpt-image-2", "usd:7/month@openai/gpt-image-2.5-flare",
        "requests:4/minute@openai/gpt-image-2", "tokens:8/minute@openai/gpt-image-2",
    ]  # fmt: skip
    assert notes == [("model_max_budget", "left out for gpt-4o, which is no image model here")]


def test_of_two_budgets_in_one_window_the_smaller_counts() -> None:
    table = {"max_budget": 3, "budget_duration": "1d", "rpm_limit": 9}
    limits, _ = converted(max_budget=5, budget_duration="1d", rpm_limit=4, litellm_budget_table=table)
    assert limits == ["usd:3/day", "requests:4/minute"]


def test_what_cannot_be_counted_is_no_limit_and_is_reported() -> None:
    limits, notes = converted(max_budget=2e9, rpm_limit=10**16)
    assert limits == []
    assert [field for field, _ in notes] == ["usd", "requests"]
