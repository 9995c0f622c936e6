import pytest

from bench.__main__ import plan_of, read_options
from bench.scenarios import LARGE, MOST, SCENARIOS, SLOW, SLOW_BOUNDED, STREAM, TLS_SCENARIOS


def test_quick_and_full_measure_the_same_things_but_those_that_take_long() -> None:
    quick, full = plan_of(read_options([])), plan_of(read_options(["--full"]))
    assert full.scenarios == SCENARIOS
    names = [scenario.name for scenario in SCENARIOS if not scenario.is_long]
    assert [scenario.name for scenario in quick.scenarios] == names
    assert quick.tls_scenarios == full.tls_scenarios == TLS_SCENARIOS
    assert (quick.rounds, full.rounds) == (2, 5)
    assert quick.scenarios[-1].seconds == 5
    assert full.scenarios[-2:] == (SLOW, SLOW_BOUNDED)


def test_a_few_scenarios_can_be_chosen() -> None:
    options = ["--scenario", "8MB", "--scenario", "slow", "--rounds", "4", "--seconds", "0.5"]
    plan = plan_of(read_options([*options, "--full"]))
    assert plan.scenarios == (LARGE, SLOW, SLOW_BOUNDED)
    assert plan.tls_scenarios == (LARGE,)
    assert (plan.rounds, plan.fresh_rounds, plan.seconds) == (4, 4, 0.5)


def test_slow_readers_with_bounded_buffers_can_be_chosen_alone() -> None:
    assert plan_of(read_options(["--scenario", "slow bounded", "--full"])).scenarios == (SLOW_BOUNDED,)


def test_what_takes_long_can_be_chosen_alone() -> None:
    assert plan_of(read_options(["--scenario", MOST.name])).scenarios == (MOST,)


def test_plain_or_tls_alone() -> None:
    assert plan_of(read_options(["--plain", "--scenario", "sse"])).tls_scenarios == ()
    plan = plan_of(read_options(["--tls", "--scenario", "sse"]))
    assert (plan.scenarios, plan.tls_scenarios) == ((), (STREAM,))


@pytest.mark.parametrize("wrong", [["--scenario", "9MB"], ["--only", "apache"], ["--plain", "--tls"]])
def test_what_does_not_exist_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        read_options(wrong)
    assert refused.value.code == 2
