"""How often somebody may try."""

from app.identity.sessions.throttle import Throttle


def test_an_address_gets_its_tries_and_more_with_time() -> None:
    throttle = Throttle(per_address=3, in_total=100)
    assert [throttle.admit("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert throttle.admit("b", 0.0)
    assert [throttle.admit("a", 20.0) for _ in range(2)] == [True, False]
    assert [throttle.admit("a", 1000.0) for _ in range(4)] == [True, True, True, False]


def test_all_addresses_together_have_a_bound() -> None:
    throttle = Throttle(per_address=3, in_total=5)
    assert [throttle.admit(f"address {number}", 0.0) for number in range(6)] == [True] * 5 + [False]
    assert throttle.admit("another", 12.0)


def test_a_refused_try_costs_nothing() -> None:
    throttle = Throttle(per_address=1, in_total=2)
    assert throttle.admit("a", 0.0)
    for _ in range(10):
        assert not throttle.admit("a", 0.0)
    assert throttle.admit("b", 0.0)
