"""One of two gateways on one PostgreSQL is killed, or stopped for a while, with requests in flight: the other's limits
are right soon, and what comes late is charged.
"""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from app.database.engine import create_engine
from app.database.schema import ledger_tables
from app.sandbox.server import SandboxServer
from tests.servers import GatewayProcess, Key, Store, fetch_json, wait_until

BODY = {"model": "gpt-image-2", "prompt": "a house", "size": "1024x640", "quality": "low", "output_format": "jpeg"}
IN_FLIGHT = 50


@pytest.fixture
def replicas(postgresql_url: str, sandbox: SandboxServer, tmp_path: Path) -> Iterator[list[GatewayProcess]]:
    """Their hearts beat faster than by default, so that nobody waits for a minute here."""
    settings = {
        "GATEWAY_DATABASE_URL": postgresql_url,
        "GATEWAY_HEARTBEAT_SECONDS": "0.5",
        "GATEWAY_SWEEP_SECONDS": "0.5",
    }
    started = [GatewayProcess(tmp_path / f"gateway-{number}", sandbox.url, **settings) for number in range(2)]
    with ExitStack() as stack:
        yield [stack.enter_context(gateway) for gateway in started]


def ask(gateway: GatewayProcess, key: Key, prompt: str) -> int:
    headers = {"authorization": f"Bearer {key.text}"}
    body = {**BODY, "prompt": prompt}
    return httpx2.post(f"{gateway.url}/images/generations", json=body, headers=headers, timeout=60).status_code


def corrections(store: Store) -> list[dict[str, Any]]:
    with store.engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(ledger_tables.corrections)).mappings()]


def test_kill_9_with_fifty_in_flight(
    postgresql_url: str, replicas: list[GatewayProcess], sandbox: SandboxServer
) -> None:
    engine = create_engine(postgresql_url)
    store = Store(engine)
    key = store.key(f"concurrent:{IN_FLIGHT + 1}")
    dying, living = replicas

    def leave(_: int) -> None:
        with suppress(httpx2.TransportError):
            ask(dying, key, "a house [sandbox: delay=30s]")

    with ThreadPoolExecutor(IN_FLIGHT + 1) as pool:
        waiting = [pool.submit(leave, number) for number in range(IN_FLIGHT)]
        slow = pool.submit(ask, living, key, "a house [sandbox: delay=8s]")
        wait_until(lambda: len(store.rows()) == IN_FLIGHT + 1, "all are in flight", 30)
        assert ask(living, key, "a house") == 429
        dying.process.kill()
        wait_until(lambda: ask(living, key, "a house") == 200, "there is room again", 30)
        assert slow.result() == 200
        for each in waiting:
            each.result()
    settled = store.settled()
    ends = [row["state"] for row in settled]
    assert (ends.count("expired"), ends.count("settled")) == (IN_FLIGHT, len(ends) - IN_FLIGHT)
    assert store.findings(fetch_json(sandbox.bill_url)) == []
    engine.dispose()


def test_a_replica_that_is_stopped_for_a_while_corrects_what_the_other_has_closed(
    replicas: list[GatewayProcess], sandbox: SandboxServer
) -> None:
    """As a virtual machine that is moved: nobody knows that it comes back, and its image is bought."""
    paused, living = replicas
    store = living.store
    key = store.key("concurrent:1")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, paused, key, "a house [sandbox: delay=1s]")
        wait_until(lambda: any(row["dispatched_at_ms"] for row in store.rows()), "it is at ZenMux")
        paused.process.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: store.rows()[0]["state"] == "expired", "the other has closed it", 30)
            (closed,) = store.rows()
            assert (closed["usage_source"], closed["charged_nanousd"]) == ("estimated", closed["held_nanousd"])
            assert corrections(store) == []
            assert ask(living, key, "a house") == 200, "there is room again"
        finally:
            paused.process.send_signal(signal.SIGCONT)
        assert asked.result() == 200
    wait_until(lambda: len(corrections(store)) == 1, "what it cost is known", 30)
    (correction,) = corrections(store)
    bill = fetch_json(sandbox.bill_url)
    late, other = store.rows()
    assert (correction["reservation_id"], correction["usage_source"]) == (closed["id"], "reported")
    assert late == closed, "what was closed stays as it is"
    charged = [late["charged_nanousd"] + correction["charged_nanousd"], other["charged_nanousd"]]
    assert sorted(charged) == sorted(each["cost_nanousd"] for each in bill["generations"])
    assert store.findings(bill) == []
    wait_until(paused.is_ready, "it serves again")
    assert ask(paused, key, "a house") == 200
    assert store.findings(fetch_json(sandbox.bill_url)) == []
