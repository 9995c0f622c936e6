"""Who may run how many requests at a time: alone all of them, beside others a share."""

from typing import Any, cast

import pytest

from app.errors import Overloaded
from app.exchange.in_flight import ExchangeBounds, Exchanges


class Seconds:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
async def exchanges(seconds: Seconds) -> Exchanges:
    bounds = ExchangeBounds(
        exchange_seconds_max=1,
        reservation_seconds=1,
        client_stall_seconds=1,
        keepalive_seconds=1,
        early_head_seconds=0,
        requests_in_flight_max=20,
        user_in_flight_percent=50,
        abandoned_exchanges_max=0,
        usage_holds_max=20,
    )
    unused = cast("Any", None)
    return Exchanges(unused, unused, unused, seconds, bounds, unused, unused)


def begun(exchanges: Exchanges, user: str, times: int = 1) -> int:
    """How many of so many the user got."""
    for number in range(times):
        try:
            exchanges.begin(user)
        except Overloaded:
            return number
    return times


async def test_alone_one_may_have_all(exchanges: Exchanges) -> None:
    assert begun(exchanges, "alice", 30) == 20


async def test_beside_others_one_has_a_share(exchanges: Exchanges) -> None:
    assert begun(exchanges, "bob") == 1
    assert begun(exchanges, "alice", 30) == 10
    assert begun(exchanges, "carol", 30) == 9  # what is left
    exchanges.end("bob")
    exchanges.end("alice")
    assert begun(exchanges, "alice", 30) == 1


async def test_who_was_turned_away_gets_the_next_places(exchanges: Exchanges, seconds: Seconds) -> None:
    """A user who holds all places and refills each would otherwise keep everybody out for ever."""
    assert begun(exchanges, "alice", 20) == 20
    assert begun(exchanges, "bob") == 0
    exchanges.end("alice")
    assert begun(exchanges, "alice") == 0
    seconds.now = 5
    assert begun(exchanges, "bob") == 1
    assert begun(exchanges, "alice") == 0
    exchanges.end("bob")
    assert begun(exchanges, "alice") == 1


async def test_a_place_is_not_kept_for_ever(exchanges: Exchanges, seconds: Seconds) -> None:
    assert begun(exchanges, "alice", 20) == 20
    assert begun(exchanges, "bob") == 0
    exchanges.end("alice")
    seconds.now = 15
    assert begun(exchanges, "alice") == 1
