"""Models end while the gateway runs: from midnight (UTC) on their names mean their successors, at those' price."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from app.images.catalog.catalog import load_catalog
from app.images.cost.pricing import estimate
from app.images.request.normalize import RequestPolicy, normalize
from app.sandbox.server import SandboxServer
from tests.days import TODAY
from tests.e2e.conftest import StartGateway
from tests.servers import Key, RunningGateway, fetch_json

OLD, NEW = "gpt-image-1.5", "gpt-image-2.5-sunburst"
BODY = {"model": OLD, "prompt": "a house", "size": "1024x1024", "quality": "low"}
EVE = datetime(2026, 11, 30, 23, 59, 50, tzinfo=UTC)


class Midnight:
    """A clock that stands before midnight until it is moved."""

    def __init__(self) -> None:
        self.now = EVE

    def __call__(self) -> datetime:
        return self.now


def ask(gateway: RunningGateway, key: Key, **fields: Any) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key.text}"}
    return httpx2.post(f"{gateway.url}/images/generations", json={**BODY, **fields}, headers=headers, timeout=60)


def listed(gateway: RunningGateway, key: Key) -> dict[str, str | None]:
    answer = httpx2.get(f"{gateway.url}/models", headers={"authorization": f"Bearer {key.text}"}).json()
    return {model["id"]: model["shutdown_date"] for model in answer["data"]}


def test_at_midnight_a_model_becomes_its_successor(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    clock = Midnight()
    gateway = start_gateway(sandbox.url, clock)
    key = gateway.store.key(models=("openai/gpt-image-1.5", "openai/gpt-image-2.5-sunburst"))
    assert listed(gateway, key) == {OLD: "2026-12-01", NEW: None}
    before = ask(gateway, key)
    assert (before.status_code, before.headers.get("x-gateway-normalized")) == (200, None)
    clock.now += timedelta(seconds=10)
    after = ask(gateway, key)
    assert (after.status_code, after.headers["x-gateway-normalized"]) == (200, f"model={OLD}->{NEW}")
    assert listed(gateway, key) == {NEW: None}
    first, second = gateway.store.settled(2)
    assert (first["model"], second["model"]) == ("openai/gpt-image-1.5", "openai/gpt-image-2.5-sunburst")
    policy = RequestPolicy(load_catalog(), True, None, None, None)
    assert second["held_nanousd"] == estimate(normalize(BODY | {"model": NEW}, policy, TODAY)).nanousd
    assert second["held_nanousd"] < first["held_nanousd"]
    bill = fetch_json(sandbox.bill_url)
    assert [row["model"] for row in bill["generations"]] == ["openai/gpt-image-1.5", "openai/gpt-image-2.5-sunburst"]
    assert gateway.store.findings(bill) == []


def test_a_key_needs_the_successor_on_its_list(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    clock = Midnight()
    gateway = start_gateway(sandbox.url, clock)
    key = gateway.store.key(models=("openai/gpt-image-1.5",))
    assert ask(gateway, key).status_code == 200
    clock.now += timedelta(seconds=10)
    refused = ask(gateway, key)
    assert refused.status_code == 403
    assert f"'{NEW}' (model={OLD}->{NEW})" in refused.json()["error"]["message"]
    assert len(fetch_json(sandbox.bill_url)["generations"]) == 1
    assert listed(gateway, key) == {}


def test_strict_mode_refuses_it_and_names_the_successor(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    clock = Midnight()
    gateway = start_gateway(sandbox.url, clock, compatibility="strict")
    key = gateway.store.key()
    assert ask(gateway, key).status_code == 200
    clock.now += timedelta(seconds=10)
    refused = ask(gateway, key)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert NEW in error["message"]
    shown = httpx2.get(f"{gateway.url}/models/{OLD}", headers={"authorization": f"Bearer {key.text}"})
    assert (shown.status_code, shown.json()["error"]["message"]) == (404, error["message"])
    assert len(fetch_json(sandbox.bill_url)["generations"]) == 1
