import math

import pytest

from bench.budgets import BUDGETS, CONSOLES, NOT_MEASURED, Budget, budget_table, judge
from bench.figures import Results, Run

NOTHING_MEASURED = Results(("direct", "nginx", "gateway"), ())


@pytest.mark.parametrize(("value", "expected"), [(1.5, "reached"), (3.0, "missed, 2.00 ×"), (math.nan, NOT_MEASURED)])
def test_less_is_better(value: float, expected: str) -> None:
    assert judge(value, Budget("it", lambda _, __: math.nan, 1.5)) == expected


@pytest.mark.parametrize(("value", "expected"), [(0.6, "reached"), (0.3, "missed, 2.00 ×")])
def test_more_is_better(value: float, expected: str) -> None:
    assert judge(value, Budget("it", lambda _, __: math.nan, 0.6, at_least=True)) == expected


def test_without_figures_every_budget_is_unmeasured() -> None:
    table = budget_table(NOTHING_MEASURED, {})
    assert {row[-1] for row in table.rows} == {NOT_MEASURED}
    assert len(table.rows) == len(BUDGETS) > 25
    assert len({row[0] for row in table.rows}) == len(table.rows)


def verdicts(*runs: Run, **told: object) -> dict[str, tuple[str, str]]:
    """What → what was measured, and the verdict, where something was measured."""
    rows = budget_table(Results(("direct", "nginx", "litellm", "gateway"), runs), told).rows
    return {row[0]: (row[1], row[-1]) for row in rows if row[-1] != NOT_MEASURED}


def test_thousands_in_flight_are_judged_by_number_time_and_memory() -> None:
    figures = {"answered": 4999.0, "over_seconds": 3.0, "growth_mb": 150.0}
    assert verdicts(Run("5,000 in flight", False, "gateway", 0, figures)) == {
        "5,000 in flight for 10 s: answered": ("4,999", "missed, 1.00 ×"),
        "5,000 in flight for 10 s: over, s": ("3.00", "reached"),
        "5,000 in flight for 10 s: RSS, KB each": ("30.0", "reached"),
    }


def test_consoles_are_judged_by_what_they_change() -> None:
    nobody = {"who": "nobody", "waits_ms": 0, "p95_ratio": 1.0}
    consoles = {"who": CONSOLES, "waits_ms": 0, "p95_ratio": 1.26}
    assert verdicts(readers=[nobody, consoles]) == {
        "20 consoles, 2 KB, 8 connections: p95 ÷ without": ("1.26", "missed, 1.20 ×")
    }


def upload(name: str, number: int, peak_rss_mb: float) -> Run:
    return Run(name, False, "gateway", number, {"peak_rss_mb": peak_rss_mb})


def test_uploads_are_compared_with_the_memory_before_any_large_one() -> None:
    """What a process never gave back after the first large ones must not hide the growth."""
    first = upload("edit 1MB", 0, 90), upload("edit 30MB", 0, 200)
    second = upload("edit 1MB", 1, 190), upload("edit 30MB", 1, 201)
    assert verdicts(*first, *second) == {"edit: RSS that 30 MB need more than 1 MB, MB": ("111.0", "missed, 13.88 ×")}


def test_pairs_are_those_of_postgresql() -> None:
    rows = [
        {"engine": "sqlite", "concurrency": 256, "pairs_per_second": 50_000.0},
        {"engine": "postgresql", "concurrency": 256, "pairs_per_second": 4_000.0},
    ]
    assert verdicts(ledger=rows) == {"reserve + settle on PostgreSQL, 1,000 keys: pairs/s": ("4,000", "missed, 1.12 ×")}


def test_memory_is_by_reader() -> None:
    slow = {"growth_mb": 20.0, "kernel_tcp_mb": 9000.0}
    bounded = {"growth_mb": 90.0, "kernel_tcp_mb": 500.0}
    direct = {"kernel_tcp_mb": 420.0}
    runs = [Run("slow", False, "gateway", 0, slow), Run("slow bounded", False, "gateway", 0, bounded)]
    assert verdicts(*runs, *(Run(name, False, "direct", 0, direct) for name in ("slow", "slow bounded"))) == {
        "slow 30 MB reader: RSS, MB": ("0.20", "reached"),
        "slow 30 MB reader: kernel TCP memory with GATEWAY_SOCKET_BUFFER_BYTES, MB": ("0.80", "missed, 1.60 ×"),
    }
