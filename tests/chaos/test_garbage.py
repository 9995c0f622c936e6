"""Malformed requests in great number beside a client that means well: it is served, and the process stays as it was.

`make soak GARBAGE=200000` sends as many as one likes; `make test` sends a few thousand. Loopback only.
"""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.sandbox.server import SandboxServer
from tests.garbage import large, send, small
from tests.loop_stall import take_stall
from tests.servers import GatewayProcess, fetch_json, read_metric, wait_until

COUNT = int(os.environ.get("GARBAGE_COUNT") or 4000)  # a multiple of SENDERS
SEED = int.from_bytes((os.environ.get("CHAOS_SEED") or "garbage").encode()[:6], "big")
SECONDS_MAX = 900
SENDERS = 16
LARGE_EVERY = 500
WARM = 500
RSS_GROWTH_MAX = 64 * 1024 * 1024
LOG_BYTES_MAX = 2_000_000


@pytest.mark.timeout(SECONDS_MAX + 300)
def test_a_healthy_client_is_served_beside_garbage(tmp_path: Path) -> None:
    with (
        SandboxServer() as sandbox,
        GatewayProcess(tmp_path / "data", sandbox.url, module="tests.loop_stall") as gateway,
    ):
        key = gateway.store.key()
        send_garbage(gateway.port, WARM)
        before, files_before, log_before = rss(gateway), descriptors(gateway), len(gateway.log())
        take_stall(gateway.root)
        over = threading.Event()
        seconds: list[float] = []

        def buy() -> None:
            while not over.is_set():
                began = time.monotonic()
                with gateway.begin(key, "a house") as connection:
                    answer = b""
                    while chunk := connection.recv(65_536):
                        answer += chunk
                assert answer.startswith(b"HTTP/1.1 200 "), answer[:300]
                seconds.append(time.monotonic() - began)

        with ThreadPoolExecutor(1) as pool:
            buying = pool.submit(buy)
            began = time.monotonic()
            try:
                sent = send_garbage(gateway.port, COUNT, until=began + SECONDS_MAX)
            finally:
                over.set()
            lasted = time.monotonic() - began
            buying.result(60)
        stall = take_stall(gateway.root)
        wait_until(lambda: descriptors(gateway) <= files_before + 8, "every connection is gone")
        grown, logged = rss(gateway) - before, len(gateway.log()) - log_before
        faults = read_metric(gateway.root, "zenmux_gateway_connection_faults_total")
        print(  # noqa: T201 - what a soak is for
            f"\n{sent} malformed requests in {lasted:.0f} s, {faults:.0f} ended as connections; {len(seconds)} images, "
            f"the slowest {max(seconds) * 1000:.0f} ms; loop held for {stall * 1000:.0f} ms at most; "
            f"{grown / 2**20:+.1f} MiB; {logged} bytes logged"
        )
        assert sent == COUNT, f"only {sent} in {SECONDS_MAX} s"
        assert seconds
        assert grown < RSS_GROWTH_MAX
        assert logged < LOG_BYTES_MAX + 600 * len(seconds)
        assert len(gateway.store.settled()) == len(seconds)
        assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def send_garbage(port: int, count: int, until: float = float("inf")) -> int:
    """`count` malformed requests from several callers at a time, a large one now and then; how many were sent."""

    def one_sender(number: int) -> int:
        requests, large_ones = small(SEED + number), list(large(None).values())
        for sent in range(count // SENDERS):
            if time.monotonic() > until:
                return sent
            is_large = sent % LARGE_EVERY == LARGE_EVERY - 1
            send(port, large_ones[(sent // LARGE_EVERY + number) % len(large_ones)] if is_large else next(requests))
        return count // SENDERS

    with ThreadPoolExecutor(SENDERS) as pool:
        return sum(pool.map(one_sender, range(SENDERS)))


def rss(gateway: GatewayProcess) -> int:
    pages = int(Path(f"/proc/{gateway.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(gateway: GatewayProcess) -> int:
    return len(list(Path(f"/proc/{gateway.process.pid}/fd").iterdir()))
