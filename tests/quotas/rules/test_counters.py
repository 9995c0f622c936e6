from app.quotas.rules.counters import Counter, CounterKey, amount_of
from app.quotas.rules.limits import Unit
from app.quotas.rules.reservation import Amounts

HELD = Amounts(1, 4, 5000, 400)


def test_a_hold_is_pending_in_every_unit() -> None:
    counter = Counter()
    counter.hold(HELD)
    assert {unit: counter.pending(unit) for unit in Unit} == {
        Unit.REQUESTS: 1,
        Unit.IMAGES: 4,
        Unit.TOKENS: 5000,
        Unit.USD: 400,
        Unit.CONCURRENT: 1,
    }
    assert {counter.settled(unit) for unit in Unit} == {0}


def test_a_resolution_frees_what_was_held_and_keeps_what_was_charged() -> None:
    counter = Counter(settled_requests=10, settled_nanousd=7)
    counter.hold(HELD)
    counter.resolve(HELD, Amounts(1, 3, 6000, 500))
    assert counter == Counter(11, 3, 6000, 507, 0, 0, 0, 0)


def test_what_has_ended_is_not_concurrent() -> None:
    counter = Counter(settled_requests=10)
    assert counter.settled(Unit.CONCURRENT) == 0
    assert counter.settled(Unit.REQUESTS) == 10


def test_what_a_request_takes() -> None:
    assert [amount_of(HELD, unit) for unit in Unit] == [1, 4, 5000, 400, 1]


def test_keys_sort_by_whose_they_are_first() -> None:
    a = CounterKey("key", "k1", "", "day", 5)
    b = CounterKey("key", "k1", "m", "day", 1)
    c = CounterKey("user", "a", "", "day", 0)
    assert sorted([c, b, a]) == [a, b, c]
