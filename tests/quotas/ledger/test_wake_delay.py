import asyncio

from app.quotas.ledger.wake_delay import Alarm

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
    alarm = Alarm(rung)
    for _ in range(3):
        alarm.soon()
    assert rung.times == 0
    await turns()
    assert rung.times == 1
    alarm.soon()
    await turns()
    assert rung.times == 2


async def test_later_is_not_now() -> None:
    rung = Rung()
    alarm = Alarm(rung)
    alarm.later(LONG_SECONDS)
    await turns()
    assert rung.times == 0


async def test_later_comes_by_itself_and_again() -> None:
    rung = Rung()
    alarm = Alarm(rung)
    for times in (1, 2):
        rung.event.clear()
        alarm.later(0.001)
        alarm.later(LONG_SECONDS)  # changes nothing: the first is soon enough
        await asyncio.wait_for(rung.event.wait(), 30)
        assert rung.times == times


async def test_soon_is_later_too() -> None:
    rung = Rung()
    alarm = Alarm(rung)
    alarm.later(0.001)
    alarm.soon()
    alarm.later(0.001)
    await asyncio.wait_for(rung.event.wait(), 30)
    await asyncio.sleep(0.02)  # nothing happens that could be waited for
    assert rung.times == 1
