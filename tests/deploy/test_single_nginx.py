"""deploy/nginx/zenmux-gateway.conf with a real nginx in front of one gateway; skipped where there is no nginx."""

import base64
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.sandbox.server import SandboxServer
from app.settings.settings import Settings
from tests.deploy.nginx import SINGLE_CONF, find_nginx, single_gateway
from tests.image_files import image_file
from tests.servers import UPSTREAM_KEY, Key, RunningGateway, fetch_json, free_port

NGINX = find_nginx()
CERTIFICATE = (
    Path(__file__).parents[1] / "upstream/localhost.pem"
)  # for localhost and the loopback addresses, with its key
FIELDS = {"model": "gpt-image-2", "prompt": "Make it snow", "quality": "low", "size": "1024x1024"}

pytestmark = pytest.mark.skipif(
    NGINX is None, reason="nginx is not here: deploy/nginx/zenmux-gateway.conf is not tested"
)


@dataclass
class Site:
    """One gateway behind TLS."""

    client: httpx2.Client
    gateway: RunningGateway
    sandbox: SandboxServer
    folder: Path

    def post(self, path: str, key: Key, **sent: Any) -> httpx2.Response:
        return self.client.post(path, headers={"authorization": f"Bearer {key.text}"}, **sent)

    def check_ledger(self, bought: int) -> None:
        self.gateway.store.settled(bought)
        bill = fetch_json(self.sandbox.bill_url)
        assert bill["count"] == bought
        assert self.gateway.store.findings(bill) == []


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    assert NGINX is not None
    port = free_port()
    root = f"https://127.0.0.1:{port}"
    with SandboxServer() as sandbox:
        settings: dict[str, Any] = {
            "zenmux_api_key": UPSTREAM_KEY,
            "zenmux_base_url": sandbox.url,
            "data_dir": tmp_path / "data",
            "key_cache_seconds": 0,
            "public_url": root,
        }
        with (
            RunningGateway(Settings(_env_file=None, **settings)) as gateway,
            single_gateway(NGINX, tmp_path, port, gateway.socket.getsockname()[1], CERTIFICATE),
            httpx2.Client(base_url=root, verify=ssl.create_default_context(cafile=CERTIFICATE), timeout=60) as client,
        ):
            yield Site(client, gateway, sandbox, tmp_path)


def test_an_edit_larger_than_two_megabytes_passes(site: Site) -> None:
    image = image_file() + b"\0" * 3_000_000
    answer = site.post("/v1/images/edits", site.gateway.store.key(), data=FIELDS, files=[("image", ("a.png", image))])
    assert answer.status_code == 200, answer.text
    assert base64.b64decode(answer.json()["data"][0]["b64_json"])
    site.check_ledger(1)


def test_a_link_leads_to_its_image_and_is_not_logged(site: Site) -> None:
    body = {**FIELDS, "response_format": "url", "output_format": "jpeg"}
    answer = site.post("/v1/images/generations", site.gateway.store.key(), json=body)
    assert answer.status_code == 200, answer.text
    url = answer.json()["data"][0]["url"]
    assert "/files/" in url
    image = site.client.get(url)
    assert (image.status_code, image.headers["content-type"]) == (200, "image/jpeg")
    assert image.content.startswith(b"\xff\xd8")
    log = (site.folder / "access.log").read_text()
    assert "/v1/images/generations" in log
    assert "sig=" not in log
    site.check_ledger(1)


def test_what_is_too_large_is_refused_by_the_gateway(site: Site) -> None:
    large = site.post("/v1/images/generations", site.gateway.store.key(), json={**FIELDS, "prompt": "a" * 2_000_000})
    assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/docs", "/openapi.json", "/"])
def test_what_is_not_for_everybody_stays_inside(site: Site, path: str) -> None:
    assert site.client.get(path).status_code == 404
    assert site.client.get("/healthz").json()["status"] == "ok"


def test_where_no_gateway_is_a_request_may_be_tried_again(tmp_path: Path) -> None:
    assert NGINX is not None
    port = free_port()
    with single_gateway(NGINX, tmp_path, port, free_port(), CERTIFICATE):
        trusted = ssl.create_default_context(cafile=CERTIFICATE)
        answer = httpx2.post(f"https://127.0.0.1:{port}/v1/images/generations", json=FIELDS, verify=trusted)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "gateway_unreachable")
    assert answer.headers["x-should-retry"] == "true"


def test_the_waits_are_longer_than_the_gateways_own() -> None:
    found = re.findall(r"^ +(\w+) ([\d.]+)s;", SINGLE_CONF.read_text(), re.MULTILINE)
    waits = {name: float(seconds) for name, seconds in found}
    assert waits["proxy_read_timeout"] > Settings().exchange_seconds_max
    assert waits["send_timeout"] > Settings().client_stall_seconds
