import asyncio
from dataclasses import dataclass, field

import pytest

from app.quotas.ledger.commands import Expire, Ticket
from app.quotas.ledger.waiting import WaitLimit, WakeDelay
from tests.quotas.making import NOON

LONG_SECONDS = 3600.0


class Rung:
    def __init__(self) -> None:
        self.times = 0
        self.event = asyncio.Event()

    def __call__(self) -> None:
        self.times += 1
        self.event.set()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_once_for_all_of_a_turn_and_not_before_its_end() -> None:
    rung = Rung()
    wake_delay = WakeDelay(rung)
    for _ in range(3):
        wake_delay.soon()
    assert rung.times == 0
    await turns()
    assert rung.times == 1
    wake_delay.soon()
    await turns()
    assert rung.times == 2


async def test_later_is_not_now() -> None:
    rung = Rung()
    wake_delay = WakeDelay(rung)
    wake_delay.later(LONG_SECONDS)
    await turns()
    assert rung.times == 0


async def test_later_comes_by_itself_and_again() -> None:
    rung = Rung()
    wake_delay = WakeDelay(rung)
    for times in (1, 2):
        rung.event.clear()
        wake_delay.later(0.001)
        wake_delay.later(LONG_SECONDS)  # changes nothing: the first is soon enough
        await asyncio.wait_for(rung.event.wait(), 30)
        assert rung.times == times


async def test_soon_is_later_too() -> None:
    rung = Rung()
    wake_delay = WakeDelay(rung)
    wake_delay.later(0.001)
    wake_delay.soon()
    wake_delay.later(0.001)
    await asyncio.wait_for(rung.event.wait(), 30)
    await asyncio.sleep(0.02)  # nothing happens that could be waited for
    assert rung.times == 1


@dataclass
class Desk:
    """Tickets that are watched, and those that were given up, which are answered at once."""

    given_up: list[str] = field(default_factory=list)
    seconds: float = 0.05

    def __post_init__(self) -> None:
        self.wait_limit = WaitLimit(self.seconds, self.give_up)

    def give_up(self, ticket: Ticket) -> None:
        assert isinstance(ticket.command, Expire)
        self.given_up.append(ticket.command.reservation_id)
        ticket.waiter.set_result(None)

    def watch(self, name: str) -> Ticket:
        ticket = Ticket(Expire(name, NOON), asyncio.get_running_loop().create_future())
        self.wait_limit.watch(ticket)
        return ticket


async def test_what_has_no_answer_in_time_is_given_up_once_and_in_order() -> None:
    desk = Desk()
    began = asyncio.get_running_loop().time()
    first, second = desk.watch("first"), desk.watch("second")
    await first.waiter
    await second.waiter
    assert asyncio.get_running_loop().time() - began >= 0.05
    await asyncio.sleep(0.1)
    assert desk.given_up == ["first", "second"]


async def test_what_was_answered_or_cancelled_is_not_given_up() -> None:
    desk = Desk()
    tickets = [desk.watch(name) for name in ("answered", "late", "cancelled")]
    tickets[0].waiter.set_result(None)
    tickets[2].waiter.cancel()
    await tickets[1].waiter
    await asyncio.sleep(0.1)
    assert desk.given_up == ["late"]


async def test_each_has_its_own_time_though_there_is_one_timer() -> None:
    desk = Desk(seconds=0.2)
    first = desk.watch("first")
    await asyncio.sleep(0.15)
    second = desk.watch("second")
    await first.waiter
    assert desk.given_up == ["first"]
    assert not second.waiter.done()
    began = asyncio.get_running_loop().time()
    await second.waiter
    assert asyncio.get_running_loop().time() - began >= 0.1
    third = desk.watch("third")  # the timer had run out
    await third.waiter
    assert desk.given_up == ["first", "second", "third"]


@pytest.mark.parametrize("answered", [0, 1, 5])
async def test_it_remembers_only_what_waits(answered: int) -> None:
    desk = Desk(seconds=30)
    tickets = [desk.watch(f"r{number}") for number in range(5)]
    for ticket in tickets[:answered]:
        ticket.waiter.set_result(None)
    desk.wait_limit.forget_answered()
    assert len(desk.wait_limit._watched) == 5 - answered
