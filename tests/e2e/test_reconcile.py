"""A day's images, bought through a real gateway from a real sandbox, reconciled by the command; a running gateway
shows the result."""

import os
from datetime import UTC, datetime
from typing import Any

import httpx2
import orjson

from app.main import utc_now
from app.sandbox.server import SandboxServer
from tests.e2e.conftest import StartGateway
from tests.forking import run_command
from tests.servers import UPSTREAM_KEY, RunningGateway, fetch_json

BODY = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}


def reconcile(gateway: RunningGateway, key: str = "sk-mg-test", code: int = 0) -> Any:
    """The command, in a process of its own beside the running gateway."""
    arguments = ("ledger", "reconcile", "--day", f"{utc_now():%Y-%m-%d}", "--json")
    environment = {
        "PATH": os.environ["PATH"],
        "ZENMUX_BASE_URL": gateway.settings.zenmux_base_url,
        "ZENMUX_MANAGEMENT_KEY": key,
        "GATEWAY_DATA_DIR": str(gateway.settings.data_dir),
    }
    done = run_command(arguments, environment)
    assert done.returncode == code, done.stdout + done.stderr
    return orjson.loads(done.stdout)


def ask(url: str, key: str, prompt: str, model: str = "gpt-image-2") -> None:
    headers = {"authorization": f"Bearer {key}"}
    body = {**BODY, "model": model, "prompt": prompt}
    httpx2.post(f"{url}/images/generations", json=body, headers=headers, timeout=30)


def test_a_day_is_reconciled_and_shown(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    gateway = start_gateway(sandbox.url)
    key = gateway.store.key().text
    assert gateway.metric("zenmux_gateway_reconciliation_day_timestamp_seconds") == 0
    for prompt in ("a house", "a fox [sandbox: status=400]", "a tree [sandbox: moderation]"):
        ask(gateway.url, key, prompt)
    ask(gateway.url, key, "a boat", "gpt-image-2.5-flare")
    gateway.store.settled(4)
    told = reconcile(gateway)
    assert (told["verdict"], told["total"]["ledger_requests"], told["total"]["drift_nanousd"]) == ("equal", 2, 0)
    bill = fetch_json(sandbox.bill_url)
    assert told["total"]["billed_nanousd"] == bill["total_cost_nanousd"]
    assert gateway.store.findings(bill) == []
    started = datetime.fromisoformat(told["day"]).replace(tzinfo=UTC).timestamp()
    assert gateway.metric("zenmux_gateway_reconciliation_day_timestamp_seconds") == started

    # Charged at the hold, billed less or not at all: estimates explain it.
    for prompt in ("a house [sandbox: no-usage]", "a fox [sandbox: status=500]"):
        ask(gateway.url, key, prompt)
    gateway.store.settled(6)
    told = reconcile(gateway)
    assert (told["verdict"], told["total"]["estimated_requests"]) == ("estimated", 2)
    assert told["total"]["drift_nanousd"] > 0
    assert told["total"]["drift_requests"] == 1

    # Somebody buys with the account's key beside the gateway.
    for _ in range(20):
        ask(sandbox.url, UPSTREAM_KEY, "a secret", "gpt-image-2.5-flare")
    told = reconcile(gateway, code=1)
    verdicts = {model["model"]: model["verdict"] for model in told["models"]}
    assert verdicts == {"openai/gpt-image-2.5-flare": "drift", "openai/gpt-image-2": "estimated"}
    [leaked] = [model for model in told["models"] if model["verdict"] == "drift"]
    shown = gateway.metric("zenmux_gateway_reconciliation_drift_usd", model="gpt-image-2.5-flare")
    assert shown == leaked["drift_nanousd"] / 1e9 < 0
    assert gateway.metric("zenmux_gateway_reconciliation_drift_usd", model="gpt-image-2") > 0
    assert gateway.metric("zenmux_gateway_reconciliation_drift_usd", model="other") == 0
