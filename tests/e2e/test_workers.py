"""`serve --workers 2` on a real PostgreSQL: one port, one set of metrics, one stop."""

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import orjson
import psutil
import pytest

from app.sandbox.server import SandboxServer
from tests.cli.processes import Process
from tests.servers import UPSTREAM_KEY, GatewayProcess, Key, fetch_json, read_metric, wait_until

BODY = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low", "prompt": "a house"}
SCRAPES = 6  # on connections of their own, so both workers answer some


@contextmanager
def two_workers(tmp_path: Path, sandbox: SandboxServer, url: str) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path / "data", sandbox.url, GATEWAY_DATABASE_URL=url, GATEWAY_WORKERS="2") as gateway:
        wait_until(lambda: "listening" in gateway.log(), "both workers serve")
        yield gateway


def workers_of(gateway: GatewayProcess) -> list[psutil.Process]:
    return psutil.Process(gateway.process.pid).children()


def buy(gateway: GatewayProcess, key: Key, count: int) -> None:
    """That many images, each over a connection of its own."""
    for _ in range(count):
        headers = {"authorization": f"Bearer {key.text}"}
        assert httpx2.post(f"{gateway.url}/images/generations", json=BODY, headers=headers).status_code == 200


def scraped(gateway: GatewayProcess, name: str, **labels: str) -> set[float]:
    """What the workers say of a metric: one value, where they agree."""
    return {read_metric(gateway.root, name, **labels) for _ in range(SCRAPES)}


def test_both_serve_and_whoever_is_scraped_tells_the_sums(
    sandbox: SandboxServer, tmp_path: Path, postgresql_url: str
) -> None:
    with two_workers(tmp_path, sandbox, postgresql_url) as gateway:
        alice, bob = gateway.store.key("images:100/day"), gateway.store.key(user="bob")
        buy(gateway, alice, 10)
        buy(gateway, bob, 4)
        rows = gateway.store.settled(14)
        assert len({row["instance"] for row in rows}) == 2
        cost_usd = sum(row["charged_nanousd"] for row in rows) / 1e9
        wait_until(lambda: scraped(gateway, "zenmux_gateway_requests_total", outcome="completed") == {14}, "all count")
        assert scraped(gateway, "zenmux_gateway_user_images_total", user="bob") == {4}
        assert scraped(gateway, "zenmux_gateway_request_duration_seconds_count") == {14}
        assert scraped(gateway, "zenmux_gateway_request_duration_seconds_bucket", le="+Inf") == {14}
        assert [round(value, 9) for value in scraped(gateway, "zenmux_gateway_cost_usd_total")] == [round(cost_usd, 9)]
        assert scraped(gateway, "zenmux_gateway_quota_used_ratio", unit="images") == {0.1}
        assert scraped(gateway, "zenmux_gateway_workers") == {2}
        assert scraped(gateway, "zenmux_gateway_build_info") == {1}
        lines = [orjson.loads(line) for line in gateway.log().splitlines()]
        assert {line["worker"] for line in lines if line["event"] == "request"} == {1, 2}
        assert [line["workers"] for line in lines if line["event"] == "listening"] == [2]
        assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


@pytest.mark.long("a supervisor and three workers start")
def test_requests_of_both_are_in_flight_and_the_killed_ones_are_not(
    sandbox: SandboxServer, tmp_path: Path, postgresql_url: str
) -> None:
    with two_workers(tmp_path, sandbox, postgresql_url) as gateway, ExitStack() as stack:
        key = gateway.store.key()
        buy(gateway, key, 6)
        for _ in range(8):
            stack.enter_context(gateway.begin(key, "a house [sandbox: delay=60s]"))
        wait_until(lambda: scraped(gateway, "zenmux_gateway_in_flight_requests") == {8}, "all are in flight")
        assert scraped(gateway, "zenmux_gateway_reservations_pending") == {8}
        killed = workers_of(gateway)[0]
        killed.kill()
        wait_until(lambda: gateway.log().count("worker_ready") == 3, "another worker took its place")
        [left] = scraped(gateway, "zenmux_gateway_in_flight_requests")
        assert 0 <= left < 8
        assert scraped(gateway, "zenmux_gateway_workers") == {2}
        assert scraped(gateway, "zenmux_gateway_requests_total", outcome="completed") == {6}  # nothing is forgotten
        buy(gateway, key, 6)
        # A request is counted a moment after its caller has the answer.
        wait_until(lambda: scraped(gateway, "zenmux_gateway_requests_total", outcome="completed") == {12}, "all count")
        assert killed.pid not in {worker.pid for worker in workers_of(gateway)}


def test_what_a_killed_worker_ran_is_closed_at_once(
    sandbox: SandboxServer, tmp_path: Path, postgresql_url: str
) -> None:
    """Its heartbeat, by which other gateways judge, would be missed after 30 seconds."""
    with two_workers(tmp_path, sandbox, postgresql_url) as gateway, ExitStack() as stack:
        key = gateway.store.key("concurrent:12")
        for _ in range(12):
            stack.enter_context(gateway.begin(key, "a house [sandbox: delay=15s]"))
        wait_until(lambda: sum(bool(row["dispatched_at_ms"]) for row in gateway.store.rows()) == 12, "all are sent")
        ran = Counter(row["instance"] for row in gateway.store.rows())
        assert len(ran) == 2
        workers_of(gateway)[0].kill()
        killed_at = time.monotonic()
        wait_until(lambda: any(row["state"] == "expired" for row in gateway.store.rows()), "the killed ones expire")
        buy(gateway, key, 1)
        assert time.monotonic() - killed_at < 15  # while what the other runs is still in flight
        gateway.store.settled(13)
        expired = Counter(row["instance"] for row in gateway.store.rows() if row["state"] == "expired")
        [(dead, count)] = expired.items()
        assert count == ran[dead]
        assert gateway.log().count("reservation_expired") == count
        assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def terminate(gateway: GatewayProcess) -> None:
    gateway.process.send_signal(signal.SIGTERM)


def interrupt_all(gateway: GatewayProcess) -> None:
    """As Ctrl-C in a terminal does."""
    os.killpg(gateway.process.pid, signal.SIGINT)


@pytest.mark.parametrize(
    "stop", [terminate, pytest.param(interrupt_all, marks=pytest.mark.long("every run stops them as a service does"))]
)
def test_one_stop_lets_the_requests_of_all_finish(
    sandbox: SandboxServer, tmp_path: Path, postgresql_url: str, stop: Callable[[GatewayProcess], None]
) -> None:
    with two_workers(tmp_path, sandbox, postgresql_url) as gateway, ExitStack() as stack:
        key = gateway.store.key()
        workers = workers_of(gateway)
        connections = [stack.enter_context(gateway.begin(key, "a house [sandbox: delay=2s]")) for _ in range(10)]
        wait_until(lambda: sum(bool(row["dispatched_at_ms"]) for row in gateway.store.rows()) == 10, "all are sent")
        stop(gateway)
        for connection in connections:
            answer = b"".join(iter(lambda connection=connection: connection.recv(65536), b""))  # type: ignore[misc]
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"}")
        assert gateway.process.wait(30) == 0
        assert not any(worker.is_running() for worker in workers)
        rows = gateway.store.rows()
        assert {(row["state"], row["usage_source"], row["outcome"]) for row in rows} == {
            ("settled", "reported", "completed")
        }
        assert len({row["instance"] for row in rows}) == 2
        assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_workers_end_when_their_supervisor_is_killed(
    sandbox: SandboxServer, tmp_path: Path, postgresql_url: str
) -> None:
    with two_workers(tmp_path, sandbox, postgresql_url) as gateway:
        workers = workers_of(gateway)
        assert len(workers) == 2
        gateway.kill()
        _, alive = psutil.wait_procs(workers, timeout=20)
        assert alive == []


def test_what_cannot_work_is_told_with_its_reason_before_any_worker_starts(tmp_path: Path, postgresql_url: str) -> None:
    environment = {
        "ZENMUX_API_KEY": UPSTREAM_KEY,
        "GATEWAY_DATABASE_URL": postgresql_url,
        "GATEWAY_DEFAULT_MODEL": "no-such-model",
    }
    with Process(tmp_path / "data", "serve", "--port", "0", "--workers", "2", **environment) as process:
        assert process.wait() == 1
    assert "GATEWAY_DEFAULT_MODEL names 'no-such-model'" in process.stderr
    assert "listening" not in process.stderr
    assert "Traceback" not in process.stderr


def test_a_worker_that_cannot_start_ends_the_start_with_its_reason(tmp_path: Path, postgresql_url: str) -> None:
    """What the supervisor has not found before."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if any(argument.startswith('worker-') for argument in sys.orig_argv):\n"
        "    import app.errors, app.main\n"
        "    def fail(*_, **__): raise app.errors.ConfigurationError('This worker lacks something.')\n"
        "    app.main.create_app = fail\n"
    )
    environment = {
        "ZENMUX_API_KEY": UPSTREAM_KEY,
        "GATEWAY_DATABASE_URL": postgresql_url,
        "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}",
    }
    with Process(tmp_path / "data", "serve", "--port", "0", "--workers", "2", **environment) as process:
        assert process.wait() == 1
    *above, last = [line for line in process.stderr.splitlines() if line.startswith("Error: ")]
    assert re.fullmatch(r"Error: Worker [12] did not start \(exit code 1\); what is said above tells why\.", last)
    assert set(above) == {"Error: This worker lacks something."}
    assert "listening" not in process.stderr
    assert "Traceback" not in process.stderr
