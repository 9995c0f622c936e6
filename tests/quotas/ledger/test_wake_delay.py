import asyncio

from app.quotas.ledger.wake_delay import WakeDelay

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
