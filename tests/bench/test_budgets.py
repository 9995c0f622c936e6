import math
from typing import Any

import pytest

from bench.budgets import BUDGETS, NOT_MEASURED, Budget, budget_table, judge
from bench.figures import Results, Run

NOTHING_MEASURED = Results(("direct", "nginx", "gateway"), ())


def budget(reach: float | None, aim: float | None, *, at_least: bool = False) -> Budget:
    return Budget("it", lambda _, __: math.nan, reach, aim, at_least)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.1, "aim reached"),
        (1.2, "aim reached"),
        (1.44, "reached; aim missed, 1.20 ×"),
        (1.5, "reached; aim missed, 1.25 ×"),
        (3.0, "missed, 2.00 ×"),
        (math.nan, NOT_MEASURED),
    ],
)
def test_less_is_better(value: float, expected: str) -> None:
    assert judge(value, budget(1.5, 1.2)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.95, "aim reached"), (0.6, "reached; aim missed, 1.50 ×"), (0.3, "missed, 2.00 ×")],
)
def test_more_is_better(value: float, expected: str) -> None:
    assert judge(value, budget(0.6, 0.9, at_least=True)) == expected


def test_one_bound_is_enough() -> None:
    assert judge(1.0, budget(1.0, None)) == "reached"
    assert judge(3.0, budget(None, 3.0)) == "aim reached"
    assert judge(6.0, budget(None, 3.0)) == "aim missed, 2.00 ×"


def test_without_figures_every_budget_is_unmeasured() -> None:
    table = budget_table(NOTHING_MEASURED, [])
    assert {row[-1] for row in table.rows} == {NOT_MEASURED}
    assert len(table.rows) == len(BUDGETS) > 25
    assert len({row[0] for row in table.rows}) == len(table.rows)


def verdicts(*runs: Run, pairs: tuple[dict[str, Any], ...] = ()) -> dict[str, tuple[str, str]]:
    """What → what was measured, and the verdict, where something was measured."""
    rows = budget_table(Results(("direct", "nginx", "litellm", "gateway"), runs), pairs).rows
    return {row[0]: (row[1], row[-1]) for row in rows if row[-1] != NOT_MEASURED}


def small(contender: str, p50_ms: float) -> Run:
    return Run("2KB c=1", False, contender, 0, {"latency_p50_ms": p50_ms})


def test_added_latencies_are_compared_without_the_rigs_own() -> None:
    assert verdicts(small("direct", 0.1), small("nginx", 0.3), small("litellm", 16.1), small("gateway", 0.7)) == {
        "2 KB, 1 connection: added p50 ÷ LiteLLM's": ("0.037", "reached"),
        "2 KB, 1 connection: added p50 ÷ nginx's": ("3.00", "aim reached"),
    }


def upload(name: str, number: int, peak_rss_mb: float) -> Run:
    return Run(name, False, "gateway", number, {"peak_rss_mb": peak_rss_mb})


def test_uploads_are_compared_with_the_memory_before_any_large_one() -> None:
    """What a process never gave back after the first large ones must not hide the growth."""
    first = upload("edit 1MB", 0, 90), upload("edit 30MB", 0, 200)
    second = upload("edit 1MB", 1, 190), upload("edit 30MB", 1, 201)
    assert verdicts(*first, *second) == {"edit: RSS that 30 MB need more than 1 MB, MB": ("111.0", "missed, 13.88 ×")}


def test_the_ledgers_share_is_of_one_core() -> None:
    busy = Run("2KB c=32", False, "gateway", 0, {"requests_per_second": 4000})
    pairs: tuple[dict[str, Any], ...] = (
        {"engine": "postgresql", "concurrency": 256, "pairs_per_second": 4_000.0, "cpu_us_per_pair": 90.0},
        {"engine": "sqlite", "concurrency": 32, "pairs_per_second": 25_000.0, "cpu_us_per_pair": 30.0},
        {"engine": "sqlite", "concurrency": 256, "pairs_per_second": 50_000.0, "cpu_us_per_pair": 18.0},
    )
    assert verdicts(busy, pairs=pairs) == {
        "reserve + settle: pairs/s": ("50,000", "aim reached"),
        "reserve + settle: CPU µs a pair": ("18", "reached"),
        "reserve + settle: share of the core at 2 KB, 32 connections": ("0.12", "reached"),
        "reserve + settle on PostgreSQL, 1,000 keys: pairs/s": ("4,000", "missed, 1.12 ×"),
    }


def test_memory_is_by_reader() -> None:
    slow = {"growth_mb": 20.0, "kernel_tcp_mb": 9000.0}
    bounded = {"growth_mb": 90.0, "kernel_tcp_mb": 500.0}
    direct = {"kernel_tcp_mb": 420.0}
    runs = [Run("slow", False, "gateway", 0, slow), Run("slow bounded", False, "gateway", 0, bounded)]
    assert verdicts(*runs, *(Run(name, False, "direct", 0, direct) for name in ("slow", "slow bounded"))) == {
        "slow 30 MB reader: RSS, MB": ("0.20", "reached; aim missed, 1.33 ×"),
        "slow 30 MB reader: kernel TCP memory with GATEWAY_SOCKET_BUFFER_BYTES, MB": ("0.80", "missed, 1.60 ×"),
    }
