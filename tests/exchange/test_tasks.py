"""Background tasks: kept until they end; a stop waits for all, for so long."""

import asyncio

from app.exchange.tasks import Tasks


async def test_a_stop_waits_for_what_ends() -> None:
    tasks = Tasks()
    ended = asyncio.Event()
    task = tasks.start(ended.wait(), "settling")
    assert task.get_name() == "settling"
    asyncio.get_running_loop().call_soon(ended.set)
    assert await tasks.drain(10) == 0
    assert task.done()
    assert await tasks.drain(0) == 0


async def test_a_stop_counts_what_does_not_end() -> None:
    tasks = Tasks()
    never = tasks.start(asyncio.Event().wait(), "never")
    other = asyncio.get_running_loop().create_future()
    tasks.keep(other)
    assert await tasks.drain(0) == 2
    never.cancel()
    other.set_result(None)
    assert await tasks.drain(10) == 0
