"""The unmodified openai-node SDK through a real gateway to a real sandbox; the scripts are in tests/node."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.sandbox.server import SandboxServer
from tests.servers import Key, RunningGateway, fetch_json

SCRIPTS = Path(__file__).parent.parent / "node"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node.js on this machine")


@pytest.fixture(scope="module", autouse=True)
def _packages() -> None:
    if not (SCRIPTS / "node_modules" / "openai").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=SCRIPTS, check=True, timeout=300)


def run(gateway: RunningGateway, key: Key, script: str, **fields: Any) -> dict[str, Any]:
    assert NODE is not None
    environment = {**os.environ, "OPENAI_BASE_URL": gateway.url, "OPENAI_API_KEY": key.text}
    done = subprocess.run(
        [NODE, script, json.dumps(fields)], cwd=SCRIPTS, env=environment, capture_output=True, timeout=90, check=True
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_images(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    told = run(gateway, gateway.store.key(), "generate.mjs", n=2)
    assert told["error"] is None
    assert [image["begins"] for image in told["result"]["images"]] == ["89504e470d0a1a0a"] * 2
    [row] = gateway.store.settled(1)
    assert told["result"]["request_id"] == row["id"]
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_a_stream_with_partial_images(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    told = run(gateway, gateway.store.key(), "stream.mjs", partial_images=2)
    assert [event["type"].rpartition(".")[2] for event in told["result"]["events"]] == [
        "partial_image",
        "partial_image",
        "completed",
    ]
    assert told["result"]["usage"]["output_tokens"] == 396
    gateway.store.settled(1)
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_a_used_up_quota_is_not_retried(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    key = gateway.store.key("images:1/day")
    told = run(gateway, key, "generate.mjs", n=2)
    assert (told["error"]["class"], told["error"]["code"]) == ("RateLimitError", "insufficient_quota")
    assert told["requests"] == 1
    assert fetch_json(sandbox.bill_url)["generations"] == []


@pytest.mark.parametrize("directive", ["no-completed", "error-event", "cut=0.5"])
def test_a_stream_that_fails_raises(gateway: RunningGateway, directive: str) -> None:
    told = run(gateway, gateway.store.key(), "stream.mjs", prompt=f"a house [sandbox: {directive}]")
    assert told["error"] is not None
    assert told["error"]["class"] == "APIError"


def test_an_abandoned_stream_is_settled_with_the_truth(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    told = run(gateway, gateway.store.key(), "abort.mjs", prompt="a house [sandbox: gap=100ms]")
    assert told["result"]["aborted"] is True
    [row] = gateway.store.settled(1)
    assert row["usage_source"] == "reported"
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_models(gateway: RunningGateway) -> None:
    told = run(gateway, gateway.store.key(), "models.mjs")
    assert "gpt-image-2" in told["result"]["ids"]
