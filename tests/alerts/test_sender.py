"""The sender against a real receiver on loopback, on both engines, with a clock and jitter of the tests' own."""

import asyncio
import base64
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import httpx2
import pytest
from sqlalchemy import Engine

from app.alerts.hook import Hook
from app.alerts.message import TRIES_MAX
from app.alerts.outbox import take_due
from app.alerts.sender import Sender
from app.database.clock import from_ms
from app.database.engine import create_engine
from app.settings.settings import Settings
from app.upstream.network import Network
from tests.alerts.receiver import SECRET, Receiver, receiving
from tests.alerts.test_outbox import an_event, write
from tests.quotas.making import NOON, StillClock, events
from tests.servers import wait_until


class Desk:
    """One process's sender. `results` counts how tries ended."""

    def __init__(self, engine: Engine, url: str, clock: Callable[[], datetime]) -> None:
        self.results: Counter[str] = Counter()
        self.sender = Sender(
            engine,
            Hook(url, SECRET.encode()),
            clock,
            lambda: 0.0,
            lambda result: self.results.update([result]),
            lambda url: Network(Settings(_env_file=None)).client(httpx2.URL(url)),
        )

    async def send(self) -> int:
        return await self.sender.send_due()


@asynccontextmanager
async def a_desk(engine: Engine, url: str, clock: Callable[[], datetime]) -> AsyncIterator[Desk]:
    yield Desk(engine, url, clock)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
async def desk(engine: Engine, receiver: Receiver, clock: StillClock) -> AsyncIterator[Desk]:
    async with a_desk(engine, receiver.url, clock) as desk:
        yield desk


async def test_an_event_arrives_signed_and_is_not_sent_again(
    desk: Desk, receiver: Receiver, engine: Engine, clock: StillClock
) -> None:
    write(engine, an_event())
    assert await desk.send() == 1
    (received,) = receiver.received
    assert received.path == "/hook?team=design"
    assert received.is_signed
    assert received.signed_at == int(NOON.timestamp())
    assert received.headers["webhook-id"] == received.event["id"]
    assert received.event["data"]["limit"] == "images:10/day"
    assert SECRET not in repr(received)
    clock.forward(days=1)
    assert await desk.send() == 0
    assert desk.results == {"delivered": 1}


async def test_what_fails_is_sent_again_later_with_the_same_id_and_a_new_signature(
    desk: Desk, receiver: Receiver, engine: Engine, clock: StillClock
) -> None:
    write(engine, an_event())
    receiver.answers = [500, 503]
    for wait in (5, 15):  # half of 10 s, then of 30 s: there is no jitter here
        assert await desk.send() == 1
        clock.forward(seconds=wait - 1)
        assert await desk.send() == 0
        clock.forward(seconds=1)
    assert await desk.send() == 1
    assert desk.results == {"failed": 2, "delivered": 1}
    assert len({received.event["id"] for received in receiver.received}) == 1
    assert len({received.signed_at for received in receiver.received}) == 3
    assert all(received.is_signed for received in receiver.received)


async def test_after_ten_tries_it_is_given_up_and_told(
    desk: Desk, receiver: Receiver, engine: Engine, clock: StillClock, caplog: pytest.LogCaptureFixture
) -> None:
    write(engine, an_event())
    receiver.answers = [500] * 99
    while (next_try_at_ms := events(engine)[0]["next_try_at_ms"]) is not None:
        clock.now = from_ms(next_try_at_ms)
        assert await desk.send() == 1
    assert NOON + timedelta(hours=13) < clock.now < NOON + timedelta(hours=28)
    assert len(receiver.received) == TRIES_MAX
    assert desk.results == {"failed": TRIES_MAX - 1, "given_up": 1}
    (told,) = [record for record in caplog.records if record.message == "webhook_given_up"]
    assert told.levelno == logging.ERROR
    assert told.__dict__["reason"] == "status 500"


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_any_2xx_is_taken(desk: Desk, receiver: Receiver, engine: Engine, status: int) -> None:
    write(engine, an_event())
    receiver.answers = [status]
    await desk.send()
    assert desk.results == {"delivered": 1}


@pytest.mark.parametrize("status", [302, 307, 400, 404, 410, 500])
async def test_everything_else_is_not_and_redirects_are_not_followed(
    desk: Desk, receiver: Receiver, engine: Engine, status: int
) -> None:
    write(engine, an_event())
    receiver.answers = [status]
    receiver.headers = {"location": receiver.url}
    await desk.send()
    assert desk.results == {"failed": 1}
    assert len(receiver.received) == 1


async def test_what_the_receiver_answers_is_not_read_and_not_logged(
    desk: Desk, receiver: Receiver, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    write(engine, an_event())
    receiver.answers = [500]
    receiver.body = b"a stack trace with a secret" * 100_000
    await desk.send()
    assert desk.results == {"failed": 1}
    assert "stack trace" not in caplog.text
    assert SECRET not in caplog.text
    assert receiver.url not in caplog.text


async def test_a_receiver_that_is_away_or_does_not_answer_is_tried_again(
    engine: Engine, receiver: Receiver, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.alerts.sender._TRY_SECONDS_MAX", 0.2)
    write(engine, an_event())
    receiver.may_answer.clear()
    async with a_desk(engine, receiver.url, clock) as desk:
        assert await desk.send() == 1
        assert desk.results == {"failed": 1}
    clock.forward(minutes=1)
    async with a_desk(engine, "http://127.0.0.1:9/hook", clock) as desk:
        assert await desk.send() == 1
        assert desk.results == {"failed": 1}


async def test_two_processes_send_each_event_once(
    engine: Engine, store_url: str, receiver: Receiver, clock: StillClock
) -> None:
    write(engine, *(an_event(percent) for percent in range(1, 31)))
    other_engine = create_engine(store_url)
    async with a_desk(engine, receiver.url, clock) as one, a_desk(other_engine, receiver.url, clock) as two:
        assert sum(await asyncio.gather(one.send(), two.send())) == 30
    other_engine.dispose()
    assert sorted(receiver.percents) == list(range(1, 31))
    assert {event["next_try_at_ms"] for event in events(engine)} == {None}


async def test_a_process_that_dies_while_it_sends_leaves_the_event_to_others(
    desk: Desk, receiver: Receiver, engine: Engine, clock: StillClock
) -> None:
    write(engine, an_event())
    assert len(take_due(engine, clock(), timedelta(seconds=60), 9)) == 1  # and then it died
    assert await desk.send() == 0
    clock.forward(seconds=60)
    assert await desk.send() == 1
    assert receiver.percents == [50]


async def test_it_runs_until_it_is_stopped_and_wakes_when_told(
    desk: Desk, receiver: Receiver, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    write(engine, an_event(50))
    running = asyncio.ensure_future(desk.sender.run())
    await until(lambda: desk.results["delivered"] == 1)
    write(engine, an_event(80))
    desk.sender.wake()
    await until(lambda: desk.results["delivered"] == 2)
    desk.sender.stop()
    await running
    assert receiver.percents == [50, 80]


async def test_another_address_is_used_from_the_next_event_on_and_none_sends_nothing(
    desk: Desk, receiver: Receiver, engine: Engine
) -> None:
    write(engine, an_event(50))
    desk.sender.use(None)
    assert await desk.send() == 0
    with receiving() as other:
        desk.sender.use(Hook(other.url, SECRET.encode()))
        assert await desk.send() == 1
        assert other.percents == [50]
    assert receiver.received == []


async def test_a_database_that_is_away_does_not_end_it(
    receiver: Receiver, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path_factory.mktemp('x')}/never-migrated.db")
    async with a_desk(engine, receiver.url, StillClock()) as desk:
        running = asyncio.ensure_future(desk.sender.run())
        await until(lambda: "webhooks_wait" in caplog.text)
        assert not running.done()
        desk.sender.stop()
        await running
    engine.dispose()


async def test_a_login_in_the_address_is_sent_as_one(engine: Engine, receiver: Receiver, clock: StillClock) -> None:
    write(engine, an_event())
    async with a_desk(engine, receiver.url.replace("://", "://hook:pass%20word@"), clock) as desk:
        await desk.send()
    assert desk.results == {"delivered": 1}
    (received,) = receiver.received
    assert received.headers["authorization"] == "Basic " + base64.b64encode(b"hook:pass word").decode()


def test_a_hook_does_not_show_its_secret() -> None:
    assert SECRET not in repr(Hook("https://example.com", SECRET.encode()))


async def until(happened: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, happened, "the sender did it")
