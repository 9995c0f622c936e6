"""A log that cannot be written decides nothing about serving: full disk, no reader, a reader that takes nothing."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from app.sandbox.server import SandboxServer
from tests.servers import GatewayProcess, read_metric, wait_until

_BODY = {"model": "gpt-image-2", "prompt": "a house", "size": "1024x1024", "quality": "low"}
_PIPE_BYTES = 65_536


@contextmanager
def full_disk() -> Iterator[int]:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@contextmanager
def no_reader() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextmanager
def frozen_reader() -> Iterator[int]:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.write(writer, b"x" * _PIPE_BYTES)  # whoever reads it has stopped long ago
    os.set_blocking(writer, True)
    yield writer
    os.close(writer)
    os.close(reader)


LOGS = {"full_disk": full_disk, "no_reader": no_reader, "frozen_reader": frozen_reader}


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    "kind",
    [
        "frozen_reader",
        *(
            pytest.param(kind, marks=pytest.mark.long("every run has a log whose reader is frozen"))
            for kind in ("full_disk", "no_reader")
        ),
    ],
)
def test_images_are_made_and_a_stop_is_graceful(tmp_path: Path, sandbox: SandboxServer, kind: str) -> None:
    class Gateway(GatewayProcess):
        """One that logs where nothing can be written."""

    with LOGS[kind]() as Gateway.stderr, Gateway(tmp_path / "data", sandbox.url) as gateway:
        headers = {"authorization": f"Bearer {gateway.store.key().text}"}
        with httpx2.Client(headers=headers, timeout=60) as client:
            for _ in range(400):
                assert client.get(f"{gateway.url}/models").status_code == 200
            assert client.post(f"{gateway.url}/images/generations", json=_BODY).status_code == 200
        if kind != "frozen_reader":
            name = "zenmux_gateway_log_lines_dropped_total"
            wait_until(lambda: read_metric(gateway.root, name) >= 400, "the lines are counted as dropped")
        before = cpu_seconds(gateway.process.pid)
        time.sleep(2)  # what an idle process burns can only be seen in time
        assert cpu_seconds(gateway.process.pid) - before < 1
        gateway.terminate()
        assert gateway.process.wait(30) == 0
        assert gateway.store.findings() == []
