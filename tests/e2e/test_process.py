"""The gateway as a process of its own: its memory under slow readers, a graceful stop, a kill -9."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psutil
import pytest

from app.sandbox.server import SandboxServer
from tests.servers import GatewayProcess, fetch_json, wait_until

READERS = 20
ANSWER_BYTES = 30_000_000
PEAK_BYTES_MAX = 150_000_000


@pytest.mark.long("six hundred megabytes are read slowly")
def test_thirty_megabytes_to_twenty_slow_readers_stay_out_of_memory(sandbox: SandboxServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "data", sandbox.url) as gateway:
        key = gateway.store.key()
        process = psutil.Process(gateway.process.pid)
        all_began = threading.Barrier(READERS)
        peaks: list[int] = []

        def read_slowly(_: int) -> int:
            """Nothing is read until every answer has begun, so all of them are held back at the same time."""
            received = 0
            with gateway.begin(key, "a house [sandbox: body=30MB]") as connection:
                received += len(connection.recv(4096))
                all_began.wait(120)
                peaks.append(process.memory_info().rss)
                while data := connection.recv(65536):
                    received += len(data)
                    if received // 2_000_000 != (received - len(data)) // 2_000_000:
                        peaks.append(process.memory_info().rss)
            return received

        with ThreadPoolExecutor(READERS) as pool:
            sizes = list(pool.map(read_slowly, range(READERS)))
        assert min(sizes) > ANSWER_BYTES
        peak_bytes = int(Path(f"/proc/{process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
        assert max(*peaks, peak_bytes) < PEAK_BYTES_MAX
        assert {row["usage_source"] for row in gateway.store.settled(READERS)} == {"reported"}
        assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_sigterm_lets_running_requests_finish_and_exits_well(sandbox: SandboxServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "data", sandbox.url) as gateway:
        key = gateway.store.key()
        with gateway.begin(key, "a house [sandbox: delay=3s]") as connection:
            wait_until(lambda: bool(fetch_json(sandbox.bill_url)) and bool(gateway.store.rows()), "it was reserved")
            gateway.terminate()
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"}")
        assert gateway.process.wait(30) == 0
        [row] = gateway.store.rows()
        assert (row["state"], row["usage_source"], row["outcome"]) == ("settled", "reported", "completed")
        assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_a_stop_that_cannot_wait_settles_at_the_estimate(sandbox: SandboxServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "data", sandbox.url, GATEWAY_SHUTDOWN_SECONDS="0.3") as gateway:
        key = gateway.store.key()
        with gateway.begin(key, "a house [sandbox: delay=60s]"):
            wait_until(lambda: any(row["dispatched_at_ms"] for row in gateway.store.rows()), "it was dispatched")
            gateway.terminate()
            assert gateway.process.wait(30) == 0
        [row] = gateway.store.rows()
        assert (row["state"], row["usage_source"], row["outcome"]) == ("settled", "estimated", "interrupted")


def test_after_kill_9_a_restart_closes_what_was_left(sandbox: SandboxServer, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with GatewayProcess(data, sandbox.url) as gateway:
        key = gateway.store.key("images:10/day")
        with gateway.begin(key, "a house [sandbox: delay=60s]"):
            wait_until(lambda: any(row["dispatched_at_ms"] for row in gateway.store.rows()), "it was dispatched")
            gateway.kill()
    with GatewayProcess(data, sandbox.url) as gateway:
        [row] = gateway.store.settled(1)
        assert (row["state"], row["usage_source"], row["charged_images"]) == ("expired", "estimated", 1)
        assert row["charged_nanousd"] == row["held_nanousd"]
        assert gateway.store.findings() == []
        headers = {"authorization": f"Bearer {key.text}"}
        used = httpx2.get(f"{gateway.url}/usage", headers=headers).json()["limits"][0]
        assert (used["used"], used["pending"]) == (1, 0)
        [line] = [line for line in gateway.log().splitlines() if "reservations_expired_at_start" in line]
        assert json.loads(line)["reservations"] == 1
