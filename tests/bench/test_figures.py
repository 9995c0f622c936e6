import math

import pytest

from bench.figures import DRIFT_MAX, FOREIGN_CORES_MAX, Rest, Results, Run, Spread, disturbances, percentile, spread

QUIET = Rest(foreign_cores=0.02, stolen_cores=0.0, rig_before=1.0, rig_after=0.97)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([5.0], 0.5, 5.0), ([5.0], 0.99, 5.0), ([4.0, 1.0, 3.0, 2.0], 0.5, 2.0), ([4.0, 1.0, 3.0, 2.0], 0.99, 4.0)],
)
def test_percentiles_are_values_that_were_measured(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_percentile_of_a_hundred() -> None:
    assert percentile([float(number) for number in range(1, 101)], 0.99) == 99.0


def test_nothing_has_no_percentile_and_no_spread() -> None:
    assert math.isnan(percentile([], 0.5))
    assert spread([]) is None
    assert spread([math.nan]) is None


def test_spread_leaves_out_what_was_not_measured() -> None:
    assert spread([3.0, math.nan, 1.0, 2.0]) == Spread(1.0, 2.0, 3.0)


def test_a_quiet_run_counts() -> None:
    assert disturbances(QUIET) == ()


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        (Rest(FOREIGN_CORES_MAX + 0.01, 0, 1, 1), "other processes used 0.11 cores"),
        (Rest(0, 0.05, 1, 1), "the host took 0.05 cores"),
        (Rest(0, 0, 1, 1 - DRIFT_MAX - 0.05), "the rig alone was at 75% of its usual speed"),
        (Rest(0, 0, 0.5, 1), "the rig alone was at 50% of its usual speed"),
    ],
)
def test_each_disturbance_is_named(rest: Rest, reason: str) -> None:
    assert disturbances(rest) == (reason,)


def run(contender: str, number: int, rate: float, *reasons: str, tls: bool = False) -> Run:
    return Run("8MB", tls, contender, number, {"rate": rate}, reasons)


def results(*runs: Run) -> Results:
    return Results(("direct", "nginx", "gateway"), runs)


def test_disturbed_runs_do_not_count_beside_quiet_ones() -> None:
    found = results(run("gateway", 0, 10), run("gateway", 1, 90, "noise"), run("gateway", 2, 12)).of(
        "gateway", "8MB", "rate"
    )
    assert found == Spread(10, 11, 12)


def test_where_all_runs_are_disturbed_the_figure_says_so() -> None:
    found = results(run("gateway", 0, 10, "noise")).of("gateway", "8MB", "rate")
    assert found == Spread(10, 10, 10, disturbed=True)


def test_ratios_are_of_the_same_round() -> None:
    measured = results(run("gateway", 0, 10), run("nginx", 0, 20), run("gateway", 1, 5), run("nginx", 1, 5))
    assert measured.ratio("gateway", "nginx", "8MB", "rate") == Spread(0.5, 0.75, 1.0)


def test_ratios_need_both() -> None:
    assert results(run("gateway", 0, 10)).ratio("gateway", "nginx", "8MB", "rate") is None
    assert results(run("gateway", 0, 10), run("nginx", 0, 0)).ratio("gateway", "nginx", "8MB", "rate") is None
    assert results(run("gateway", 0, 10), run("nginx", 1, 10)).ratio("gateway", "nginx", "8MB", "rate") is None


def test_plain_and_tls_are_apart() -> None:
    measured = results(run("gateway", 0, 10), run("gateway", 0, 4, tls=True))
    assert measured.middle("gateway", "8MB", "rate") == 10
    assert measured.middle("gateway", "8MB", "rate", tls=True) == 4


def test_added_is_what_the_rig_alone_does_not_take() -> None:
    measured = results(run("direct", 0, 1), run("gateway", 0, 3), run("direct", 1, 2), run("gateway", 1, 6))
    assert measured.added("gateway", "8MB", "rate") == Spread(2, 3, 4)
    over_tls = results(run("direct", 0, 1), run("gateway", 0, 3, tls=True))
    assert over_tls.added("gateway", "8MB", "rate", tls=True) == Spread(2, 2, 2)


def test_a_refusal_is_kept() -> None:
    measured = results(Run("sse", False, "nginx", 0, {}, (), "answers HTTP 500"))
    assert measured.of("nginx", "sse", "rate") is None
    assert measured.refusal("nginx", "sse") == "answers HTTP 500"
    assert measured.refusal("nginx", "8MB") == ""
