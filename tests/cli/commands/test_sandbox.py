"""`sandbox`: the stand-in alone. What it answers is tested in tests/sandbox."""

import contextlib
import re
import signal
from pathlib import Path

import pytest

from tests.cli.processes import Process
from tests.servers import fetch_json, wait_until


def bill_of(process: Process) -> str | None:
    found = re.search(r"http://\S+/sandbox/bill", process.stdout)
    return found[0] if found else None


def answers(url: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(fetch_json(url))
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_tells_its_addresses_answers_and_stops_well(tmp_path: Path, number: int) -> None:
    with Process(tmp_path / "data", "sandbox", "--port", "0") as process:
        bill = process.until(bill_of)
        wait_until(lambda: answers(bill), "the sandbox answers")
        assert fetch_json(bill)["generations"] == []
        assert process.stop(number) == 0
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "data").exists()


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with Process(tmp_path / "data", "sandbox", "--port", "0") as first:
        port = first.until(bill_of).split(":")[2].split("/")[0]
        with Process(tmp_path / "data", "sandbox", "--port", port) as second:
            assert second.wait() == 1
    assert second.stderr == (
        f"Error: Cannot listen on 127.0.0.1 port {port}: Address already in use. Choose another --port.\n"
    )
