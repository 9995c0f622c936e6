"""One worker, without a supervisor around it: it serves when told how, says so, and stops at its line's end."""

import os
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.configuration.reading import check
from app.server import serving, worker
from app.server.messages import READY
from app.server.worker import Assignment
from app.settings.settings import Settings
from app.telemetry.shared_counters import SharedCounters, shared_memory


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = shared_memory(1)
    yield descriptor
    os.close(descriptor)


def test_it_serves_on_the_inherited_socket_until_its_line_ends(
    tmp_path: Path, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(_env_file=None, zenmux_api_key="sk-ai-v1-x", data_dir=tmp_path / "data")
    ours, theirs = socket.socketpair()
    with ours, serving.listen("127.0.0.1", 0, "GATEWAY_PORT") as listener:
        assignment = Assignment(check(settings).configuration, 1, "a" * 16, listener.fileno(), memory)
        monkeypatch.chdir(tmp_path)  # from anywhere, it finds the modules of this process
        with theirs:
            process = worker.start(theirs, assignment)
        ours.sendall(worker.encode_assignment(assignment))
        assert ours.recv(100) == READY
        with urllib.request.urlopen(f"{serving.base_url(listener)}/readyz", timeout=20) as answer:
            assert answer.status == 200
        [(_, at)] = SharedCounters(memory).series("live:zenmux_gateway_workers")
        assert SharedCounters(memory).total(at) == 1
        ours.shutdown(socket.SHUT_WR)
        assert process.wait(30) == 0


def test_a_supervisor_that_died_before_it_spoke_leaves_nothing_running(memory: int, tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, serving.listen("127.0.0.1", 0, "GATEWAY_PORT") as listener:
        process = worker.start(
            theirs, Assignment(check(Settings(_env_file=None)).configuration, 1, "a" * 16, listener.fileno(), memory)
        )
        ours.close()
        assert process.wait(30) == 0
