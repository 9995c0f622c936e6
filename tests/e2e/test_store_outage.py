"""The database goes away under a running gateway: images arrive, new requests get 503, and what was bought is
written when it is back, also by another process than the one that bought it."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from app.database import engine as engines
from app.errors import StoreUnavailable
from app.main import utc_now
from app.quotas.ledger.ledger import Ledger
from app.quotas.ledger.liveness.sweep import sweep_for_ever
from app.sandbox.server import SandboxServer
from tests.e2e.conftest import StartGateway
from tests.quotas.faults import install
from tests.servers import GatewayProcess, Key, RunningGateway, fetch_json, read_metric, wait_until
from tests.stores import PostgresqlServer

BODY = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
SECRET_WORDS = "a house of a colour nobody may know"
Start = Callable[[], GatewayProcess]
WAITING = "zenmux_gateway_settlements_waiting"


def ask(gateway: GatewayProcess | RunningGateway, key: Key, prompt: str = "a house", **fields: Any) -> httpx2.Response:
    return httpx2.post(
        f"{gateway.url}/images/generations",
        json={**BODY, "prompt": prompt, **fields},
        headers={"authorization": f"Bearer {key.text}"},
        timeout=60,
    )


def is_whole(answer: httpx2.Response) -> bool:
    if answer.headers["content-type"].startswith("text/event-stream"):
        return "event: image_generation.completed" in answer.text
    return bool(answer.json()["data"][0]["b64_json"])


def spooled(data: Path) -> list[Path]:
    return list((data / "spool").iterdir())


class Bought:
    """Six images in flight, each in its own way; they come a while after all of them were sent."""

    def __init__(self, gateway: GatewayProcess, key: Key, pool: ThreadPoolExecutor) -> None:
        prompt = f"{SECRET_WORDS} [sandbox: delay=3s]"
        ways: list[dict[str, Any]] = [{}, {}, {"n": 2}, {"stream": True}, {"stream": True, "partial_images": 1}]
        self.answers: list[Future[httpx2.Response]] = [pool.submit(ask, gateway, key, prompt, **way) for way in ways]
        with gateway.begin(key, prompt):  # this one leaves
            self.count = len(ways) + 1

            def all_sent() -> bool:
                return sum(row["dispatched_at_ms"] is not None for row in gateway.store.rows()) == self.count

            wait_until(all_sent, "all of them were sent")

    def arrive(self) -> None:
        for answer in self.answers:
            assert answer.result(60).status_code == 200, answer.result().text
            assert is_whole(answer.result())


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


class Outage:
    """A store that can go away."""

    def __init__(self, url: str, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self.url = url
        self._begin, self._end = begin, end
        self._is_on = False

    def begin(self) -> None:
        self._is_on = True
        self._begin()

    def end(self) -> None:
        if self._is_on:
            self._is_on = False
            self._end()


both_stores = pytest.mark.parametrize(
    "store_kind",
    ["postgresql", pytest.param("sqlite", marks=pytest.mark.long("every run takes PostgreSQL away"))],
    indirect=True,
)


@pytest.fixture
def outage(store_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outage]:
    """PostgreSQL is stopped; an SQLite file is locked by another process, which is how it goes away for a while."""
    if store_kind == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("own_postgresql_server")
        outage = Outage(server.store(), server.pause, server.resume)
    else:
        file = tmp_path / "data" / "gateway.db"
        locks: list[sqlite3.Connection] = []

        def lock() -> None:
            locks.append(sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=30))
            locks[-1].execute("BEGIN EXCLUSIVE")

        outage = Outage(f"sqlite:///{file}", lock, lambda: locks.pop().close())
    yield outage
    outage.end()


@pytest.fixture
def start(outage: Outage, sandbox: SandboxServer, tmp_path: Path) -> Start:
    return lambda: GatewayProcess(
        tmp_path / "data",
        sandbox.url,
        GATEWAY_DATABASE_URL=outage.url,
        GATEWAY_KEY_CACHE_SECONDS="300",
        GATEWAY_LEDGER_WAIT_SECONDS="2",
        GATEWAY_SWEEP_SECONDS="0.5",
    )


def kept_on_disk(gateway: GatewayProcess) -> float:
    return read_metric(gateway.root, WAITING, kept="disk")


def check_the_books(gateway: GatewayProcess, sandbox: SandboxServer, bought: Bought, data: Path) -> None:
    rows = [row for row in gateway.store.settled(bought.count) if row["outcome"] != "withdrawn"]
    assert {(row["state"], row["usage_source"]) for row in rows} == {("settled", "reported")}
    assert len(rows) == bought.count
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []
    wait_until(lambda: spooled(data) == [], "the spool is empty")


@both_stores
def test_images_in_flight_arrive_and_are_settled_when_the_store_is_back(
    start: Start,
    outage: Outage,
    sandbox: SandboxServer,
    pool: ThreadPoolExecutor,
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    with start() as gateway:
        key, stranger = gateway.store.key("images:100/day"), gateway.store.key(user="bob")
        bought = Bought(gateway, key, pool)
        assert spooled(data) == []
        outage.begin()
        # Known key or not: nobody gets an image for nothing, and nobody is told that a good key is wrong.
        told = [ask(gateway, key), ask(gateway, stranger)]
        assert {(answer.status_code, answer.json()["error"]["code"]) for answer in told} == {(503, "store_unavailable")}
        bought.arrive()
        wait_until(lambda: kept_on_disk(gateway) >= bought.count, "the settlements are on disk")
        [file] = spooled(data)
        for word in (SECRET_WORDS, key.text, "sk-"):
            assert word not in file.read_text()
        outage.end()
        check_the_books(gateway, sandbox, bought, data)
        wait_until(lambda: kept_on_disk(gateway) == 0, "the metric says so, which is told once the file is gone")
        assert ask(gateway, key).status_code == 200


@both_stores
def test_after_kill_9_in_the_outage_the_next_process_writes_them(
    start: Start,
    outage: Outage,
    sandbox: SandboxServer,
    pool: ThreadPoolExecutor,
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    with start() as gateway:
        bought = Bought(gateway, gateway.store.key("images:100/day"), pool)
        outage.begin()
        bought.arrive()
        wait_until(lambda: kept_on_disk(gateway) >= bought.count, "the settlements are on disk")
        gateway.kill()
    outage.end()
    assert len(spooled(data)) == 1
    with start() as gateway:
        check_the_books(gateway, sandbox, bought, data)


@pytest.mark.parametrize("store_kind", ["postgresql"], indirect=True)
def test_a_stop_in_the_outage_ends_soon_and_loses_nothing(
    start: Start,
    outage: Outage,
    sandbox: SandboxServer,
    pool: ThreadPoolExecutor,
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    with start() as gateway:
        bought = Bought(gateway, gateway.store.key("images:100/day"), pool)
        outage.begin()
        gateway.terminate()
        bought.arrive()
        assert gateway.process.wait(40) == 0
        assert "settlement_not_written" not in gateway.log()
    assert len(spooled(data)) == 1
    outage.end()
    with start() as gateway:
        check_the_books(gateway, sandbox, bought, data)


@pytest.mark.long("waits for three bounds, one after the other")
def test_a_frozen_postgresql_holds_no_process_that_is_stopped(
    own_postgresql_server: PostgresqlServer, sandbox: SandboxServer, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    """It keeps its connections and answers nothing, as a frozen machine does. What was bought waits on disk."""
    settings = {
        "GATEWAY_DATABASE_URL": own_postgresql_server.store(),
        "GATEWAY_HEARTBEAT_SECONDS": "0.5",
        "GATEWAY_SWEEP_SECONDS": "0.5",
        "GATEWAY_SHUTDOWN_SECONDS": "15",
    }
    data = tmp_path / "data"
    with GatewayProcess(data, sandbox.url, **settings) as gateway:
        bought = Bought(gateway, gateway.store.key("images:100/day"), pool)
        with own_postgresql_server.frozen():
            wait_until(lambda: "heartbeat_failed" in gateway.log(), "its heartbeat hangs")
            gateway.terminate()
            bought.arrive()
            assert gateway.process.wait(60) == 0
    with GatewayProcess(data, sandbox.url, **settings) as gateway:
        check_the_books(gateway, sandbox, bought, data)


@pytest.mark.parametrize("with_spool", [True, False])
def test_a_store_that_goes_away_before_a_request_is_sent_sends_nothing(
    start_gateway: StartGateway,
    sandbox: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    with_spool: bool,
) -> None:
    """The client is told at once, although its reservation cannot be given back yet."""
    if not with_spool:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "spool").touch()
        monkeypatch.setattr("app.exchange.exchange.SETTLE_SECONDS_MAX", 0.5)
    trouble = install(monkeypatch, sqlite3)
    gateway = start_gateway(sandbox.url, ledger_wait_seconds=5)
    key = gateway.store.key("images:1/day")
    trouble.gone_when_dispatching = True
    answer = ask(gateway, key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
    assert [row["state"] for row in gateway.store.rows()] == ["pending"]
    assert gateway.metric(WAITING, kept="disk" if with_spool else "memory") == 1
    trouble.gone_when_dispatching = False
    trouble.fail("begin", 0)
    [row] = gateway.store.settled(1)
    assert (row["state"], row["outcome"], row["charged_images"]) == ("released", "unavailable", 0)
    bill = fetch_json(sandbox.bill_url)
    assert bill["generations"] == []
    assert gateway.store.findings(bill) == []
    assert ask(gateway, key).status_code == 200


def test_probes_and_scrapes_do_not_take_the_connections_that_requests_need(
    start_gateway: StartGateway,
    sandbox: SandboxServer,
    own_postgresql_server: PostgresqlServer,
    monkeypatch: pytest.MonkeyPatch,
    pool: ThreadPoolExecutor,
) -> None:
    """With as few connections as can be; a lock makes every scrape and probe hang meanwhile."""
    monkeypatch.setitem(engines._POOL, "pool_size", 3)
    monkeypatch.setitem(engines._POOL, "max_overflow", 0)
    url = own_postgresql_server.store()
    gateway = start_gateway(sandbox.url, database_url=url)
    gateway.store.key("images:1000/day", user="bob")
    key = gateway.store.key(user="alice")
    with psycopg.connect(url) as blocker:
        blocker.execute("LOCK TABLE counters")  # gauges need them, and requests to which a limit applies
        scrapes = [pool.submit(httpx2.get, f"{gateway.root}/metrics", timeout=60) for _ in range(10)]
        answers = list(pool.map(lambda _: ask(gateway, key), range(6)))
        assert [answer.status_code for answer in answers] == [200] * 6
    assert {scrape.result(60).status_code for scrape in scrapes} == {200}
    gateway.store.settled(6)
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


async def test_after_an_outage_the_first_sweep_leaves_others_the_time_to_write(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[str] = []
    answers = iter([True, False, False, True, True])
    over = asyncio.Event()

    class Sweepable(Ledger):
        async def ask(self) -> None:
            await self._answer("ask")

        async def expire(self, now: datetime) -> list[str]:
            assert now.tzinfo is not None
            await self._answer("expire")
            return ["r1"]

        async def _answer(self, what: str) -> None:
            is_there = next(answers, None)
            if is_there is None:
                over.set()
                await asyncio.Event().wait()
            done.append(what if is_there else "away")
            if not is_there:
                raise StoreUnavailable("away")

    ledger = Sweepable.__new__(Sweepable)
    sweeping = asyncio.ensure_future(sweep_for_ever(ledger, utc_now, 0))
    await over.wait()
    sweeping.cancel()
    assert done == ["ask", "away", "away", "ask", "expire"]
    told = [record.message for record in caplog.records if record.name == "gateway"]
    assert told == ["sweep_failed", "sweep_failed", "reservation_expired"]
