"""deploy/nginx/load-balancer.conf with a real nginx in front of real gateways; skipped where there is no nginx.

What a load balancer must not break: streams, long silences, cut answers that are seen to be cut, and the rule that
nothing is ever bought twice.
"""

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from app.database.engine import create_engine
from app.sandbox.server import SandboxServer
from app.settings.settings import Settings
from tests.deploy.nginx import CONF, NameServer, find_nginx, load_balancer
from tests.servers import GatewayProcess, Key, Store, fetch_json, free_port, read_metric, wait_until
from tests.stores import PostgresqlServer

NGINX = find_nginx()
BODY = {"model": "gpt-image-2", "size": "1024x640", "quality": "low", "output_format": "jpeg"}
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")  # the last one comes later
SILENCE_SECONDS = 62  # nginx gives up after 60 when it is told nothing

pytestmark = [
    pytest.mark.xdist_group("load balancer"),
    pytest.mark.long("nginx waits before it gives a gateway up, and tries it again"),
    pytest.mark.skipif(NGINX is None, reason="nginx is not here: deploy/nginx/load-balancer.conf is not tested"),
]


@dataclass
class Site:
    """Two gateways behind one address, one of which is busy with a request that is silent for long."""

    url: str
    sandbox: SandboxServer
    names: NameServer
    gateways: list[GatewayProcess]
    start: Callable[[int], GatewayProcess]
    store: Store
    pool: ThreadPoolExecutor
    silent: "Future[httpx2.Response] | None" = None

    def key(self) -> Key:
        return self.store.key()

    def ask(self, key: Key, prompt: str = "a house", **fields: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {key.text}"}
        body = {**BODY, "prompt": prompt, **fields}
        return httpx2.post(f"{self.url}/v1/images/generations", json=body, headers=headers, timeout=100)

    def settled(self, key: Key, count: int) -> list[dict[str, Any]]:
        """This key's rows, once there are so many and none is pending."""

        wait_until(lambda: [row["state"] != "pending" for row in self.rows(key)] == [True] * count, "all is settled")
        return self.rows(key)

    def rows(self, key: Key) -> list[dict[str, Any]]:
        return [row for row in self.store.rows() if row["key_id"] == key.id]

    def billed(self) -> int:
        return len(fetch_json(self.sandbox.bill_url)["generations"])

    def idle(self) -> int:
        """The number of the gateway that is not busy: new requests go there."""
        [number] = [number for number, gateway in enumerate(self.gateways) if not in_flight(gateway)]
        return number


def in_flight(gateway: GatewayProcess) -> float:
    return read_metric(gateway.root, "zenmux_gateway_in_flight_requests")


@pytest.fixture(scope="module")
def site(postgresql_server: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert NGINX is not None
    folder, port = tmp_path_factory.mktemp("site"), free_port()
    store_url = postgresql_server.create()
    with ExitStack() as stack:
        stack.callback(postgresql_server.drop, store_url)
        sandbox = stack.enter_context(SandboxServer())

        def start(number: int) -> GatewayProcess:
            settings = {"GATEWAY_HOST": ADDRESSES[number], "GATEWAY_PORT": str(port), "GATEWAY_KEY_CACHE_SECONDS": "0"}
            data_dir = folder / f"gateway-{number}"
            gateway = GatewayProcess(data_dir, sandbox.url, GATEWAY_DATABASE_URL=store_url, **settings)
            stack.callback(gateway.kill)
            return gateway

        gateways = [start(0), start(1)]
        wait_until(lambda: all(gateway.is_ready() for gateway in gateways), "both gateways are ready", 60)
        store = Store(create_engine(store_url))
        stack.callback(store.engine.dispose)
        names = NameServer(list(ADDRESSES[:2]))
        stack.callback(names.close)
        url = stack.enter_context(load_balancer(NGINX, folder, names, port))
        pool = stack.enter_context(ThreadPoolExecutor(8))
        site = Site(url, sandbox, names, gateways, start, store, pool)
        site.silent = pool.submit(site.ask, site.key(), f"a house [sandbox: delay={SILENCE_SECONDS}s]")
        wait_until(lambda: any(in_flight(gateway) for gateway in gateways), "a gateway is busy")
        yield site


def test_a_stream_comes_event_by_event(site: Site) -> None:
    headers = {"authorization": f"Bearer {site.key().text}"}
    body = {**BODY, "prompt": "a house [sandbox: gap=400ms]", "stream": True, "partial_images": 2}
    came: list[tuple[str, float]] = []
    with httpx2.stream("POST", f"{site.url}/v1/images/generations", json=body, headers=headers, timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        came += [(line, time.monotonic()) for line in answer.iter_lines() if line.startswith("event: ")]
    assert [line for line, _ in came] == ["event: image_generation.partial_image"] * 2 + [
        "event: image_generation.completed"
    ]
    moments = [moment for _, moment in came]
    assert min(later - earlier for earlier, later in pairwise(moments)) > 0.2


def test_a_cut_answer_is_seen_to_be_cut(site: Site) -> None:
    key = site.key()
    for directive in ("cut=0.5", "cut=0.5 chunked"):
        with pytest.raises(httpx2.TransportError):
            site.ask(key, f"a house [sandbox: {directive}]")
    told = site.ask(key, "a house [sandbox: cut=0.5]", stream=True).text
    assert '"code":"upstream_broken"' in told.rsplit("event: error\n", 1)[1]


def test_a_client_that_leaves_is_known_to_have_left(site: Site) -> None:
    key = site.key()
    headers = {"authorization": f"Bearer {key.text}"}
    body = {**BODY, "prompt": "a house [sandbox: delay=1s]"}
    with pytest.raises(httpx2.TimeoutException):
        httpx2.post(f"{site.url}/v1/images/generations", json=body, headers=headers, timeout=0.5)
    [row] = site.settled(key, 1)
    assert (row["outcome"], row["usage_source"]) == ("client_left", "reported")


def test_refusals_come_from_the_gateway(site: Site) -> None:
    key = site.key()
    large = site.ask(key, "a" * 2_000_000)
    assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")
    assert site.ask(Key("sk-zg-none-none", "none")).status_code == 401
    assert httpx2.get(f"{site.url}/metrics").status_code == 404


def test_a_gateway_killed_at_work_costs_its_client_the_answer_and_nobody_a_second_image(site: Site) -> None:
    key, victim, billed = site.key(), site.idle(), site.billed()
    asked = site.pool.submit(site.ask, key, "a house [sandbox: delay=2s]")
    wait_until(lambda: bool(in_flight(site.gateways[victim])), "it works")
    wait_until(lambda: any(row["dispatched_at_ms"] for row in site.rows(key)), "the request was sent on")
    site.gateways[victim].kill()
    answer = asked.result(30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "gateway_unreachable")
    assert answer.headers["x-should-retry"] == "false"
    wait_until(lambda: site.billed() > billed, "ZenMux is done")
    assert (site.billed(), len(site.rows(key))) == (billed + 1, 1)

    # While it is away, everybody is served by the other one, and nobody notices.
    answers = list(site.pool.map(lambda _: site.ask(key), range(6)))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert (site.billed(), len(site.rows(key))) == (billed + 7, 7)

    site.gateways[victim] = site.start(victim)
    wait_until(site.gateways[victim].is_ready, "it is back")
    time.sleep(2.1)  # it rests for so long
    assert site.idle() == victim
    served = read_metric(site.gateways[victim].root, "zenmux_gateway_requests_total")
    assert site.ask(key).status_code == 200
    assert read_metric(site.gateways[victim].root, "zenmux_gateway_requests_total") == served + 1


def test_the_waits_are_longer_than_the_gateways_own() -> None:
    waits = {
        name: float(seconds) for name, seconds in re.findall(r"^ +(\w+) ([\d.]+)s;", CONF.read_text(), re.MULTILINE)
    }
    assert waits["proxy_read_timeout"] > Settings().exchange_seconds_max
    assert waits["send_timeout"] > Settings().client_stall_seconds


@pytest.mark.long("the silence is longer than nginx's own 60 seconds")
def test_a_long_silence_is_no_reason_to_hang_up(site: Site) -> None:
    assert site.silent is not None
    answer = site.silent.result(100)
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() > 60


def test_where_no_gateway_is_a_request_may_be_tried_again(site: Site) -> None:
    for gateway in site.gateways:
        gateway.kill()
    answer = site.ask(Key("sk-zg-any-any", "any"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "gateway_unreachable")
    assert answer.headers["x-should-retry"] == "true"


def test_gateways_that_come_and_go_are_found_by_their_name(site: Site) -> None:
    if not NGINX or not NGINX.resolves:
        pytest.skip("this nginx does not ask for addresses again: it is older than 1.27.3")
    newcomer = site.start(2)
    wait_until(newcomer.is_ready, "it is ready")
    site.names.addresses = [ADDRESSES[2]]
    headers = {"authorization": f"Bearer {site.key().text}"}
    models = f"{site.url}/v1/models"
    wait_until(lambda: httpx2.get(models, headers=headers).status_code == 200, "the new one is found")
