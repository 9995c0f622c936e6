"""The doors beside the images: health, readiness, metrics, models, usage, and what is not there."""

import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.configuration.reading import check
from app.errors import ConfigurationError
from app.sandbox.server import SandboxServer
from app.settings.settings import Settings
from tests.e2e.conftest import StartGateway
from tests.servers import RunningGateway

BODY = {"model": "gpt-image-2", "prompt": "a house", "size": "1024x1024", "quality": "low"}


def test_health_and_readiness(gateway: RunningGateway) -> None:
    assert httpx2.get(f"{gateway.root}/healthz").json() == {"status": "ok"}
    ready = httpx2.get(f"{gateway.root}/readyz")
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "ready",
        "database": "ok",
        "upstream": "ok",
        "accounts": "1 of 1 up",
        "draining": "no",
    }


def test_a_sandbox_is_said_loudly(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    gateway = start_gateway(sandbox.url, sandbox=True)
    assert httpx2.get(f"{gateway.root}/readyz").json()["upstream"].startswith("sandbox")
    headers = {"authorization": f"Bearer {gateway.store.key().text}"}
    answer = httpx2.post(f"{gateway.url}/images/generations", json=BODY, headers=headers, timeout=30)
    assert answer.headers["x-gateway-sandbox"] == "true"


def test_without_a_zenmux_key_it_is_not_ready(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    gateway = start_gateway(sandbox.url, zenmux_api_key=None)
    ready = httpx2.get(f"{gateway.root}/readyz")
    assert (ready.status_code, ready.json()["upstream"]) == (503, "not configured")


def test_metrics_may_ask_for_a_key(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    gateway = start_gateway(sandbox.url, metrics_key="let-me-see")
    assert httpx2.get(f"{gateway.root}/metrics").status_code == 401
    assert httpx2.get(f"{gateway.root}/metrics", headers={"authorization": "Bearer no"}).status_code == 401
    answer = httpx2.get(f"{gateway.root}/metrics", headers={"authorization": "Bearer let-me-see"})
    assert answer.status_code == 200
    assert "zenmux_gateway_build_info" in answer.text


def test_gauges_show_how_much_of_a_limit_is_used(gateway: RunningGateway) -> None:
    key = gateway.store.key("images:4/day")
    headers = {"authorization": f"Bearer {key.text}"}
    assert httpx2.post(f"{gateway.url}/images/generations", json=BODY, headers=headers, timeout=30).status_code == 200
    gateway.store.settled(1)
    labels = {"scope": "key", "name": key.id, "unit": "images", "window": "day", "model": "all", "shadow": "false"}
    assert gateway.metric("zenmux_gateway_quota_used_ratio", **labels) == 0.25
    assert gateway.metric("zenmux_gateway_reservations_pending") == 0


def test_a_models_limit_and_a_shadow_limit_have_series_of_their_own(gateway: RunningGateway) -> None:
    """Beside the plain limits of the same unit and window, over which they would be written otherwise."""
    model = "openai/gpt-image-2"
    key = gateway.store.key("images:4/day", f"images:2/day@{model}", shadow_limits=("images:8/week",))
    headers = {"authorization": f"Bearer {key.text}"}
    assert httpx2.post(f"{gateway.url}/images/generations", json=BODY, headers=headers, timeout=30).status_code == 200
    gateway.store.settled(1)
    name = "zenmux_gateway_quota_used_ratio"
    assert gateway.metric(name, window="day", model="all", shadow="false") == 0.25
    assert gateway.metric(name, window="day", model="gpt-image-2", shadow="false") == 0.5
    assert gateway.metric(name, window="week", model="all", shadow="true") == 0.125


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/nothing", 404), ("GET", "/v1/images/generations", 405)]
)
def test_what_is_not_there_is_told_in_openais_words(
    gateway: RunningGateway, method: str, path: str, status: int
) -> None:
    answer = httpx2.request(method, gateway.root + path)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    "path", ["/v1/images/generations/", "//v1/images/generations", "/v1//images/generations", "/images/generations"]
)
def test_an_image_is_made_however_its_path_is_written(gateway: RunningGateway, path: str) -> None:
    headers = {"authorization": f"Bearer {gateway.store.key().text}", "host": "forged.example"}
    answer = httpx2.post(gateway.root + path, json=BODY, headers=headers, timeout=30, follow_redirects=False)
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/v1/models/", "//v1/models", "/models", "/v1/usage/", "/healthz/", "/docs/"])
def test_no_path_is_redirected(gateway: RunningGateway, path: str) -> None:
    headers = {"authorization": f"Bearer {gateway.store.key().text}"}
    assert httpx2.get(gateway.root + path, headers=headers, follow_redirects=False).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_may_ask_for_the_head_alone(gateway: RunningGateway, path: str) -> None:
    answer = httpx2.head(gateway.root + path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_wrong_method_and_a_wrong_path_say_what_is_right(gateway: RunningGateway) -> None:
    wrong = httpx2.get(f"{gateway.url}/images/generations")
    assert (wrong.json()["error"]["code"], wrong.headers["allow"]) == ("method_not_allowed", "POST")
    assert wrong.json()["error"]["message"] == "/v1/images/generations takes POST, not GET."
    wrong = httpx2.post(f"{gateway.url}/v1/images/generations?key=sk-zg-secret", json=BODY)
    assert wrong.json()["error"]["code"] == "unknown_url"
    assert "Did you mean /v1/images/generations?" in wrong.json()["error"]["message"]
    assert gateway.metric("zenmux_gateway_refusals_total", reason="unknown_url") == 1


@pytest.mark.parametrize("name", ["x-api-key", "api-key"])
def test_a_key_may_come_in_the_headers_of_other_clouds(gateway: RunningGateway, name: str) -> None:
    key = gateway.store.key().text
    assert httpx2.get(f"{gateway.url}/models", headers={name: key}).status_code == 200
    both = {name: key, "authorization": "Bearer sk-zg-wrong"}
    assert httpx2.get(f"{gateway.url}/models", headers=both).status_code == 401


def test_browsers_are_answered_where_the_operator_names_their_pages(
    start_gateway: StartGateway, sandbox: SandboxServer
) -> None:
    page = "https://studio.example"
    gateway = start_gateway(sandbox.url, cors_origins=page)
    url, key = f"{gateway.url}/images/generations", gateway.store.key().text
    asking = {"origin": page, "access-control-request-method": "POST"}
    preflight = httpx2.options(
        url, headers={**asking, "access-control-request-headers": "authorization, x-stainless-os"}
    )
    assert preflight.status_code == 200
    assert "x-stainless-os" in preflight.headers["access-control-allow-headers"]
    assert httpx2.options(url, headers={**asking, "origin": "https://evil.example"}).status_code == 400
    headers = {"origin": page, "authorization": f"Bearer {key}"}
    streamed = httpx2.post(url, json={**BODY, "stream": True}, headers=headers, timeout=30)
    for answer in (
        streamed,
        httpx2.post(url, json={}, headers=headers),
        httpx2.post(url, headers={"origin": page}),
        httpx2.get(f"{gateway.root}/nothing", headers=headers),
    ):
        assert answer.headers["access-control-allow-origin"] == page
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers
    assert "access-control-allow-origin" not in httpx2.get(url, headers={"origin": "https://evil.example"}).headers


def test_browsers_are_not_answered_by_default(gateway: RunningGateway) -> None:
    answer = httpx2.get(f"{gateway.root}/healthz", headers={"origin": "https://studio.example"})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["models", "models/gpt-image-2", "usage"])
def test_every_door_of_the_callers_asks_for_a_key(gateway: RunningGateway, path: str) -> None:
    assert httpx2.get(f"{gateway.url}/{path}").json()["error"]["code"] == "invalid_api_key"


def test_a_model_that_is_not_there(gateway: RunningGateway) -> None:
    headers = {"authorization": f"Bearer {gateway.store.key().text}"}
    answer = httpx2.get(f"{gateway.url}/models/gpt-image-99", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"prompt": "\xff"}',
        b"[" * 1000,
        b'{"n": 1, "n": 2}',
        b'{"prompt": "\\ud800", "model": "gpt-image-2"}',
    ],
)
def test_a_body_that_is_no_request_is_a_clear_400(gateway: RunningGateway, body: bytes) -> None:
    headers = {"authorization": f"Bearer {gateway.store.key().text}", "content-type": "application/json"}
    answer = httpx2.post(f"{gateway.url}/images/generations", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


def test_more_requests_than_may_be_in_flight_are_refused(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    gateway = start_gateway(sandbox.url, requests_in_flight_max=1)
    headers = {"authorization": f"Bearer {gateway.store.key().text}"}
    url = f"{gateway.url}/images/generations"
    slow = {**BODY, "prompt": "[sandbox: gap=600ms]", "stream": True, "partial_images": 3}
    with httpx2.stream("POST", url, json=slow, headers=headers, timeout=30) as running:
        refused = httpx2.post(url, json=BODY, headers=headers, timeout=30)
        running.read()
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "server_is_overloaded")
    assert len(gateway.store.settled(1)) == 1


def test_settings_that_contradict_each_other_refuse_to_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_UNKNOWN_MODEL_HOLD_USD"):
        check(Settings(_env_file=None, data_dir=tmp_path, unknown_models="pass"))
    with pytest.raises(ConfigurationError, match="GATEWAY_DEFAULT_MODEL"):
        check(Settings(_env_file=None, data_dir=tmp_path, default_model="nothing"))
    retired: dict[str, Any] = {"default_model": "dall-e-3", "unknown_models": "pass", "unknown_model_hold_usd": 1}
    with pytest.raises(ConfigurationError, match=r"GATEWAY_DEFAULT_MODEL.+'dall-e-3'.+retired: use 'gpt-image-2'"):
        check(Settings(_env_file=None, data_dir=tmp_path, compatibility="strict", **retired))
    with pytest.raises(ConfigurationError, match="GATEWAY_WEBHOOK_SECRET"):
        check(Settings(_env_file=None, data_dir=tmp_path, webhook_url="https://example.com/hook"))


def test_a_half_sent_request_reserves_nothing(gateway: RunningGateway) -> None:
    port = gateway.socket.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = (
            f"POST /v1/images/generations HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {gateway.store.key().text}\r\n"
        )
        connection.sendall(head.encode() + b'content-type: application/json\r\ncontent-length: 100\r\n\r\n{"prompt"')
    assert httpx2.get(f"{gateway.root}/healthz").status_code == 200
    assert gateway.store.rows() == []
