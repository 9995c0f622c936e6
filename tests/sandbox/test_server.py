"""Starting and stopping, in a thread and as a process."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx2
import pytest

from app.sandbox.options import SandboxOptions
from app.sandbox.server import SandboxServer
from tests.sandbox.support import KEY


def test_it_answers_once_entered_and_is_gone_once_left() -> None:
    before = threading.active_count()
    with SandboxServer() as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert server.url.endswith("/api/v1")
        assert server.bill_url.endswith("/sandbox/bill")
        assert httpx2.get(server.url + "/models").status_code == 200
    assert threading.active_count() <= before
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(server.url + "/models")


def test_two_have_two_bills() -> None:
    with SandboxServer() as first, SandboxServer() as second:
        body = {"model": "gpt-image-2", "prompt": "A fox", "quality": "low"}
        httpx2.post(first.url + "/images/generations", json=body, headers={"x-api-key": KEY})
        assert [httpx2.get(server.bill_url).json()["count"] for server in (first, second)] == [1, 0]


def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        SandboxServer(port=taken.getsockname()[1]).__enter__()


def test_ipv6_addresses_are_written_in_brackets() -> None:
    try:
        with SandboxServer("::1") as server:
            assert server.url.startswith("http://[::1]:")
            assert httpx2.get(server.url + "/models").status_code == 200
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


def test_leaving_does_not_wait_for_stalled_answers() -> None:
    with SandboxServer(options=SandboxOptions(shutdown_seconds=0)) as server, httpx2.Client(timeout=20) as http:
        body = {"model": "gpt-image-2", "prompt": "[sandbox: stall]", "quality": "low"}
        stalled = http.stream("POST", server.url + "/images/generations", json=body, headers={"x-api-key": KEY})
        stalled.__enter__()
        start = time.monotonic()
        server.__exit__(None, None, None)
        assert time.monotonic() - start < 10
        stalled.__exit__(None, None, None)


def test_in_the_foreground_it_says_where_it_is_and_stops_when_told() -> None:
    program = "from app.sandbox.server import run; run(port=0)"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "."},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = next(word for word in line.split() if word.startswith("http"))
        for _ in range(200):
            try:
                answer = httpx2.get(url + "/models")
                break
            except httpx2.ConnectError:
                time.sleep(0.05)
        assert answer.status_code == 200
        process.send_signal(signal.SIGINT)  # Ctrl+C
        _, complaints = process.communicate(timeout=20)
        assert (process.returncode, complaints) == (0, "")
    finally:
        process.kill()
        process.communicate()
