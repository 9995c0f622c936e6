"""A read that several visitors share: one at a time, for a moment, and never a failed one."""

import asyncio

import pytest

from app.console.web.site import SharedRead
from app.errors import StoreUnavailable


class Reads:
    """Counts reads; each waits until it is let go."""

    def __init__(self) -> None:
        self.count = 0
        self.let_go = asyncio.Event()

    async def read(self) -> int:
        self.count += 1
        await self.let_go.wait()
        return self.count


async def test_all_who_come_while_it_runs_get_the_same_one_although_the_first_leaves() -> None:
    reads, shared = Reads(), SharedRead[int](60)
    first, *others = [asyncio.get_running_loop().create_task(shared.get(reads.read)) for _ in range(20)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    reads.let_go.set()
    assert await asyncio.gather(*others) == [1] * 19
    assert await shared.get(reads.read) == 1
    assert first.cancelled()


async def test_afterwards_it_is_read_again() -> None:
    reads, shared = Reads(), SharedRead[int](0)
    reads.let_go.set()
    assert [await shared.get(reads.read) for _ in range(3)] == [1, 2, 3]


async def test_a_failure_is_everybodys_and_nobodys_afterwards() -> None:
    shared, let_go = SharedRead[int](60), asyncio.Event()

    async def fail() -> int:
        await let_go.wait()
        raise StoreUnavailable("away")

    async def succeed() -> int:
        return 7

    both = [asyncio.get_running_loop().create_task(shared.get(fail)) for _ in range(2)]
    await asyncio.sleep(0)
    let_go.set()
    assert [type(found) for found in await asyncio.gather(*both, return_exceptions=True)] == [StoreUnavailable] * 2
    assert await shared.get(succeed) == 7
    with pytest.raises(StoreUnavailable):
        await SharedRead[int](60).get(fail)
