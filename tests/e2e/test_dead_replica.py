"""One of two gateways on one PostgreSQL is killed with requests in flight: the other's limits are right soon."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx2
import pytest

from app.database.engine import create_engine
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
