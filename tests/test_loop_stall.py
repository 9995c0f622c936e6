"""The probe itself: it sees what holds a loop, and does not see what does not."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loop_stall import STALL_SECONDS_MAX, LoopProbe, assert_no_stall, take_stall
from tests.servers import GatewayProcess, fetch_json


async def test_what_computes_or_blocks_is_seen() -> None:
    with LoopProbe(asyncio.get_running_loop()) as probe:
        await asyncio.sleep(0.01)
        time.sleep(0.2)  # noqa: ASYNC251 - the fault that is looked for
        await asyncio.sleep(0)
        assert 0.1 < probe.take() < 0.4
        ends_at = time.thread_time() + 0.2
        while time.thread_time() < ends_at:
            pass
        await asyncio.sleep(0)
        assert probe.take() > 0.19


async def test_waiting_is_no_stall() -> None:
    with LoopProbe(asyncio.get_running_loop()) as probe:
        await asyncio.sleep(0.3)
        assert probe.take() < STALL_SECONDS_MAX


@pytest.fixture
def busy_processes() -> Iterator[None]:
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(8)]
    yield
    for other in others:
        other.kill()
        other.wait()


@pytest.mark.usefixtures("busy_processes")
async def test_other_processes_are_no_stall() -> None:
    with LoopProbe(asyncio.get_running_loop()) as probe:
        await asyncio.sleep(1)
        assert probe.take() < STALL_SECONDS_MAX


def test_a_gateway_process_can_be_probed(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "data", "http://127.0.0.1:9/v1", module="tests.loop_stall") as gateway:
        assert_no_stall(gateway.root, lambda: fetch_json(f"{gateway.root}/healthz"))
        stopped = threading.Event()

        def stop_it_for_a_moment() -> None:
            gateway.process.send_signal(signal.SIGSTOP)
            stopped.wait(0.2)
            gateway.process.send_signal(signal.SIGCONT)

        stop_it_for_a_moment()
        assert take_stall(gateway.root) > STALL_SECONDS_MAX
        with pytest.raises(AssertionError, match="the loop was held for"):
            assert_no_stall(gateway.root, stop_it_for_a_moment)
