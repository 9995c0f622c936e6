import asyncio
import threading

import pytest

from app.database.readers import Readers
from app.errors import StoreUnavailable


async def test_what_is_read_or_raised_comes_back() -> None:
    readers = Readers(1, "test")
    assert await readers.run(lambda: 7, 30) == 7
    with pytest.raises(ZeroDivisionError):
        await readers.run(lambda: 1 // 0, 30)


async def test_a_few_run_at_a_time() -> None:
    readers = Readers(2, "test")
    together = threading.Barrier(2)
    running, most = 0, 0

    def read() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        together.wait(30)
        running -= 1

    await asyncio.gather(*(readers.run(read, 30) for _ in range(10)))
    assert most <= 2


async def test_one_that_hangs_keeps_its_place_but_not_its_caller() -> None:
    readers = Readers(1, "test")
    begun, go_on = threading.Event(), threading.Event()
    ran: list[str] = []

    def hang() -> None:
        begun.set()
        assert go_on.wait(30)
        ran.append("hanging")

    hanging = asyncio.ensure_future(readers.run(hang, 0.05))
    await asyncio.to_thread(begun.wait, 30)
    with pytest.raises(StoreUnavailable, match="busy"):
        await readers.run(lambda: ran.append("waiting"), 0.05)
    with pytest.raises(StoreUnavailable, match="busy"):
        await hanging
    go_on.set()
    await readers.run(lambda: ran.append("later"), 30)
    assert ran == ["hanging", "later"]


async def test_while_one_hangs_nothing_gathers_behind_it() -> None:
    readers = Readers(1, "test-reading")
    begun, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        assert go_on.wait(30)

    hanging = asyncio.ensure_future(readers.run(hang, 30))
    await asyncio.to_thread(begun.wait, 30)
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            await readers.run(lambda: None, 0.001)
    assert sum(thread.name == "test-reading" for thread in threading.enumerate()) == 1
    go_on.set()
    await hanging
    assert await readers.run(lambda: 7, 30) == 7


async def test_where_no_thread_can_be_had_no_slot_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    readers = Readers(1, "test")

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await readers.run(lambda: None, 30)
    assert await readers.run(lambda: 7, 30) == 7
