"""A dry run says what the same request then holds and meets, refuses what that refuses, and takes nothing."""

from itertools import product
from typing import Any

import httpx2
import pytest

from app.database.changes import Change
from app.database.engine import writing
from app.main import utc_now
from app.quotas.limits.manage import set_limit
from app.quotas.rules.limits import Scope, parse_limit
from app.sandbox.server import SandboxServer
from tests.e2e.conftest import StartGateway
from tests.image_files import image_file
from tests.servers import Key, RunningGateway, fetch_json

DRY = {"x-gateway-dry-run": "true"}
BODY = {"model": "gpt-image-2", "prompt": "a house", "size": "1024x1024", "quality": "low"}


def ask(gateway: RunningGateway, key: Key, headers: dict[str, str] | None = None, **fields: Any) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key.text}", **(headers or {})}
    return httpx2.post(f"{gateway.url}/images/generations", json={**BODY, **fields}, headers=headers, timeout=60)


def assert_nothing_was_asked(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    assert gateway.store.rows() == []
    assert fetch_json(sandbox.bill_url)["count"] == 0
    assert gateway.metric("zenmux_gateway_requests_total") == 0


@pytest.mark.parametrize(
    ("size", "quality"), [*product(["1024x1024", "1536x1024", "784x848", "auto"], ["low", "medium", "auto"])]
)
def test_it_is_what_the_request_then_holds(
    gateway: RunningGateway, sandbox: SandboxServer, size: str, quality: str
) -> None:
    key = gateway.store.key("images:100/day", user_limits=("usd:50/month",))
    fields: dict[str, Any] = {"size": size, "quality": quality, "n": 2, "style": "vivid"}
    dry = ask(gateway, key, DRY, **fields)
    assert dry.status_code == 200, dry.text
    assert_nothing_was_asked(gateway, sandbox)
    found = dry.json()
    assert (found["object"], found["admitted"], found["refusal"]) == ("image.dry_run", True, None)
    real = ask(gateway, key, **fields)
    assert real.headers["x-gateway-estimated-cost-usd"] == f"{float(found['cost_usd']['at_most']):.6f}"
    assert real.headers["x-gateway-normalized"] == ", ".join(found["changes"])
    (row,) = gateway.store.settled(1)
    assert (row["held_tokens"], row["held_images"]) == (found["tokens"]["at_most"], found["images"])
    assert row["held_nanousd"] == round(float(found["cost_usd"]["at_most"]) * 1e9)
    assert found["tokens"]["at_least"] <= real.json()["usage"]["total_tokens"] <= found["tokens"]["at_most"]
    assert round(float(found["cost_usd"]["at_least"]) * 1e9) <= row["charged_nanousd"]
    assert [(limit["limit"], limit["needed"]) for limit in found["limits"]] == [
        ("images:100/day", 2),
        ("usd:50.00/month", found["cost_usd"]["at_most"]),
    ]


def test_the_request_is_shown_as_it_would_be_sent(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    found = ask(gateway, gateway.store.key(), DRY, model="dall-e-3", quality="hd", stream=True).json()
    assert found["operation"] == "generation"
    assert found["request"] == {
        "model": "openai/gpt-image-2",
        "prompt": "a house",
        "size": "1024x1024",
        "quality": "high",
        "stream": True,
    }
    assert "quality=hd->high" in found["changes"]
    assert_nothing_was_asked(gateway, sandbox)


def test_of_an_edit_its_images_are_counted_and_not_kept(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    key, files = gateway.store.key(), [("image", ("a.png", image_file((64, 64), "PNG"), "image/png"))]
    url, fields = f"{gateway.url}/images/edits", {**BODY, "n": "2"}
    headers = {"authorization": f"Bearer {key.text}"}
    dry = httpx2.post(url, data=fields, files=files, headers=headers | DRY, timeout=60)
    assert dry.status_code == 200, dry.text
    found = dry.json()
    assert (found["operation"], found["input_images"], found["request"]["n"]) == ("edit", 1, 2)
    assert list((gateway.settings.data_dir / "uploads").iterdir()) == []
    assert_nothing_was_asked(gateway, sandbox)
    real = httpx2.post(url, data=fields, files=files, headers=headers, timeout=60)
    assert real.headers["x-gateway-estimated-cost-usd"] == f"{float(found['cost_usd']['at_most']):.6f}"


@pytest.mark.parametrize("limit", ["images:1/day", "requests:0/minute", "usd:0.01/total", "concurrent:0"])
def test_what_a_limit_would_refuse_is_said_with_the_very_error(gateway: RunningGateway, limit: str) -> None:
    key = gateway.store.key(limit)
    found = ask(gateway, key, DRY, n=2).json()
    refused = ask(gateway, key, n=2)
    assert refused.status_code == 429
    assert (found["admitted"], found["refusal"]) == (False, refused.json()["error"])
    assert [limit["fits"] for limit in found["limits"]] == [False]


def test_at_the_edge_of_a_limit(gateway: RunningGateway) -> None:
    key = gateway.store.key("images:2/day")
    assert ask(gateway, key, DRY, n=2).json()["admitted"]
    assert not ask(gateway, key, DRY, n=3).json()["admitted"]
    assert ask(gateway, key).status_code == 200
    gateway.store.settled(1)
    found = ask(gateway, key, DRY).json()
    assert (found["admitted"], found["limits"][0]["left"], found["limits"][0]["used"]) == (True, 1, 1)
    assert not ask(gateway, key, DRY, n=2).json()["admitted"]


@pytest.mark.parametrize(
    ("fields", "status"), [({"n": 11}, 400), ({"model": "gpt-image-1.5"}, 403), ({"model": "gpt-image-99"}, 404)]
)
def test_a_fault_of_the_request_is_the_same_error(gateway: RunningGateway, fields: dict[str, Any], status: int) -> None:
    key = gateway.store.key(models=("openai/gpt-image-2",))
    dry, real = ask(gateway, key, DRY, **fields), ask(gateway, key, **fields)
    assert dry.status_code == real.status_code == status
    assert dry.json() == real.json()


@pytest.mark.parametrize(("word", "status"), [("TRUE", 200), ("1", 400), ("yes", 400), ("", 400)])
def test_a_word_that_is_not_understood_buys_nothing(
    gateway: RunningGateway, sandbox: SandboxServer, word: str, status: int
) -> None:
    answer = ask(gateway, gateway.store.key(), {"x-gateway-dry-run": word})
    assert answer.status_code == status
    assert gateway.store.rows() == []
    assert fetch_json(sandbox.bill_url)["count"] == 0


def test_an_idempotency_key_is_not_used_up(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    key, keyed = gateway.store.key(), {"idempotency-key": "order-1"}
    for prompt in ("a house", "a tree"):
        assert ask(gateway, key, DRY | keyed, prompt=prompt).json()["object"] == "image.dry_run"
    assert_nothing_was_asked(gateway, sandbox)
    bought = ask(gateway, key, keyed)
    assert (bought.status_code, "x-gateway-replayed" in bought.headers) == (200, False)
    for prompt in ("a house", "a tree"):
        dry = ask(gateway, key, DRY | keyed, prompt=prompt)
        assert (dry.status_code, dry.json()["object"]) == (200, "image.dry_run"), "neither replayed nor refused"
        assert "x-gateway-replayed" not in dry.headers
    assert ask(gateway, key, keyed).headers["x-gateway-replayed"] == "true"
    refused = ask(gateway, key, DRY | {"idempotency-key": "x" * 256})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_idempotency_key")
    assert len(gateway.store.rows()) == 1


def test_false_is_a_request_like_any_other(gateway: RunningGateway) -> None:
    answer = ask(gateway, gateway.store.key(), {"x-gateway-dry-run": "false"})
    assert answer.json()["data"]
    assert len(gateway.store.settled(1)) == 1


@pytest.mark.parametrize("shows", [False, True])
def test_of_the_gateways_own_limits_callers_see_what_usage_shows(
    start_gateway: StartGateway, sandbox: SandboxServer, shows: bool
) -> None:
    gateway = start_gateway(sandbox.url, usage_shows_gateway=shows)
    with writing(gateway.store.engine) as connection:
        change = Change("test", utc_now(), lambda: "id")
        set_limit(connection, parse_limit("images:100/day").on(Scope.GATEWAY), change=change)
    key = gateway.store.key()
    (limit,) = ask(gateway, key, DRY).json()["limits"]
    assert (limit["limit"], limit["left"]) == (("images:100/day", 100) if shows else ("images/day", None))
    assert (limit["needed"], limit["fits"]) == (1, True)
    (shown,) = fetch_json(f"{gateway.url}/usage", key.text)["limits"]
    assert {name: limit[name] for name in shown} == shown
