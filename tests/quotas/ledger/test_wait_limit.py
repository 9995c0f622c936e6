import asyncio
from dataclasses import dataclass, field

import pytest

from app.quotas.ledger.commands import Expire
from app.quotas.ledger.wait_limit import WaitLimit
from app.quotas.ledger.writer import Ticket
from tests.quotas.making import NOON


@dataclass
class Desk:
    """Tickets that are watched, and those that were given up, which are answered at once."""

    given_up: list[str] = field(default_factory=list)
    seconds: float = 0.05

    def __post_init__(self) -> None:
        self.patience = WaitLimit(self.seconds, self.give_up)

    def give_up(self, ticket: Ticket) -> None:
        assert isinstance(ticket.command, Expire)
        self.given_up.append(ticket.command.reservation_id)
        ticket.waiter.set_result(None)

    def watch(self, name: str) -> Ticket:
        ticket = Ticket(Expire(name, NOON), asyncio.get_running_loop().create_future())
        self.patience.watch(ticket)
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
    desk.patience.forget_answered()
    assert len(desk.patience._watched) == 5 - answered
