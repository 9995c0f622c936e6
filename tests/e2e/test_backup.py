"""A copy is made while a gateway serves, and put back after it was stopped: the ledger is right in itself."""

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from app.sandbox.server import SandboxServer
from tests.forking import run_command
from tests.servers import GatewayProcess, Key

BODY = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}


def command(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "GATEWAY_DATA_DIR": str(data)}
    return run_command(arguments, environment)


def ask(gateway: GatewayProcess, key: Key, prompt: str) -> int:
    headers = {"authorization": f"Bearer {key.text}"}
    body = {**BODY, "prompt": prompt}
    return httpx2.post(f"{gateway.url}/images/generations", json=body, headers=headers, timeout=60).status_code


@pytest.mark.long("two gateways start and four commands run; every run copies a store at rest")
def test_a_copy_made_under_load_is_put_back(tmp_path: Path, sandbox: SandboxServer) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    with GatewayProcess(data, sandbox.url) as gateway, ThreadPoolExecutor(4) as pool:
        key = gateway.store.key("images:1000/day", "usd:100/month")

        asked = [pool.submit(ask, gateway, key, "a fox [sandbox: delay=200ms]") for _ in range(24)]
        while len(gateway.store.rows()) < 8:
            time.sleep(0.01)
        made = command(data, "db", "backup", str(copy))
        assert made.returncode == 0, made.stderr
        assert {each.result() for each in asked} == {200}
        refused = command(data, "db", "restore", str(copy))
        assert refused.returncode == 1
        assert "Stop it first" in refused.stderr
        gateway.terminate()
        assert gateway.process.wait(30) == 0

    done = command(data, "db", "restore", str(copy))
    assert done.returncode == 0, done.stderr
    with GatewayProcess(data, sandbox.url, GATEWAY_SWEEP_SECONDS="0.2", GATEWAY_HEARTBEAT_SECONDS="0.2") as gateway:
        rows = gateway.store.settled()
        assert 8 <= len(rows) <= 24
        assert gateway.store.findings() == []
        again = Key(key.text, key.id)
        assert ask(gateway, again, "another fox") == 200  # an equal one would be answered with what the copy cut off
    audit = command(data, "ledger", "audit")
    assert audit.returncode == 0, audit.stdout + audit.stderr
