"""When a worker is started again, and when there is no hope."""

from app.server.restarts import Restarts


def test_after_a_good_life_it_is_at_once() -> None:
    restarts = Restarts()
    assert [restarts.delay_seconds(3600) for _ in range(20)] == [0] * 20
    assert not restarts.is_given_up


def test_after_short_lives_it_is_later_and_later_up_to_half_a_minute() -> None:
    restarts = Restarts()
    assert [restarts.delay_seconds(1) for _ in range(9)] == [0, 1, 2, 4, 8, 16, 30, 30, 30]


def test_one_that_was_never_ready_waits_from_the_first() -> None:
    assert Restarts().delay_seconds(None) == 0.5


def test_after_five_early_ends_it_is_given_up_and_a_long_run_resets_the_count() -> None:
    restarts = Restarts()
    for _ in range(4):
        restarts.delay_seconds(None)
    assert not restarts.is_given_up
    restarts.delay_seconds(9.9)
    assert restarts.is_given_up
    restarts.delay_seconds(10)
    assert not restarts.is_given_up
