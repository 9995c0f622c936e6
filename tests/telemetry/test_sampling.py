"""So many lines a second, and the count of the others."""

from app.telemetry.sampling import Sampler


def test_so_many_are_admitted_in_each_second() -> None:
    sampler = Sampler(2)
    assert [sampler.admit(now) for now in (10.0, 10.1, 10.2, 10.9, 11.0, 11.5, 11.6)] == [
        *(True, True, False, False),
        *(True, True, False),
    ]
    assert sampler.left_out == 3
    assert sampler.take_left_out() == 3
    assert sampler.take_left_out() == 0


def test_none_are_admitted_where_none_may_be() -> None:
    assert not Sampler(0).admit(0.0)
