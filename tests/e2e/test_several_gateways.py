"""Three gateway processes on one PostgreSQL: one truth, whoever is asked; the judge is the sandbox's bill."""

import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx2
import pytest

from app.database import migrations
from app.database.changes import Change
from app.database.engine import create_engine, writing
from app.database.migrate import current
from app.identity.keys.keys import set_key_disabled
from app.main import utc_now
from app.quotas.limits.manage import set_limit
from app.quotas.rules.limits import Scope, parse_limit
from app.sandbox.server import SandboxServer
from tests.servers import GatewayProcess, Key, Store, fetch_json
from tests.stores import PostgresqlServer

BODY = {"model": "gpt-image-2", "prompt": "a house", "size": "1024x640", "quality": "low", "output_format": "jpeg"}
KEY_CACHE_SECONDS = 1.0

pytestmark = pytest.mark.xdist_group("several gateways")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture(scope="module")
def store_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """A database nobody has migrated."""
    url = postgresql_server.create()
    yield url
    postgresql_server.drop(url)


@pytest.fixture(scope="module")
def gateways(
    store_url: str, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[GatewayProcess]]:
    """All of them start at the same moment, on an empty database."""
    folder = tmp_path_factory.mktemp("gateways")
    settings = {"GATEWAY_DATABASE_URL": store_url, "GATEWAY_KEY_CACHE_SECONDS": f"{KEY_CACHE_SECONDS:g}"}
    started = [GatewayProcess(folder / f"gateway-{number}", sandbox.url, **settings) for number in range(3)]
    with ExitStack() as stack:
        yield [stack.enter_context(gateway) for gateway in started]


@pytest.fixture
def store(store_url: str, gateways: list[GatewayProcess]) -> Iterator[Store]:
    engine = create_engine(store_url)
    yield Store(engine)
    engine.dispose()


def ask(gateway: GatewayProcess, key: Key, **fields: object) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key.text}"}
    return httpx2.post(f"{gateway.url}/images/generations", json={**BODY, **fields}, headers=headers, timeout=100)


def test_three_that_start_at_once_migrate_the_database_once(store: Store, gateways: list[GatewayProcess]) -> None:
    assert current(store.engine) == migrations.HEAD
    lines = [json.loads(line) for gateway in gateways for line in gateway.log().splitlines()]
    assert [line for line in lines if line["level"] == "error"] == []
    # Whoever comes second waits for the first, and may then tell of what it found done.
    assert any(line["event"] == "database_upgraded" for line in lines)


@pytest.mark.parametrize(
    "limit",
    ["images:10/day", pytest.param("requests:10/total", marks=pytest.mark.long("every run has a limit of images"))],
)
def test_seventy_five_at_once_over_three_gateways_buy_exactly_ten(
    store: Store, gateways: list[GatewayProcess], sandbox: SandboxServer, limit: str
) -> None:
    key, billed = store.key(limit), len(fetch_json(sandbox.bill_url)["generations"])
    start = threading.Barrier(75)

    def one(number: int) -> int:
        start.wait()
        return ask(gateways[number % 3], key).status_code

    with ThreadPoolExecutor(75) as pool:
        statuses = list(pool.map(one, range(75)))
    assert sorted(statuses) == [200] * 10 + [429] * 65
    bill = fetch_json(sandbox.bill_url)
    assert len(bill["generations"]) == billed + 10
    store.settled()
    assert store.findings(bill) == []


def test_a_limit_of_the_user_holds_over_keys_and_gateways(store: Store, gateways: list[GatewayProcess]) -> None:
    first = store.key(user="bob", user_limits=("concurrent:1", "images:4/day"))
    keys = [first, store.key(user="bob"), store.key(user="bob")]
    pairs = list(zip(gateways, keys, strict=True))
    for gateway, key in pairs:
        assert ask(gateway, key).status_code == 200
        store.settled()  # another gateway's next reservation does not wait for this one's settlement
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda pair: ask(*pair, prompt="a [sandbox: delay=2s]"), pairs))
    assert sorted(answer.status_code for answer in answers) == [200, 429, 429]
    used = [fetch_json(f"{gateway.url}/usage", key.text)["limits"] for gateway, key in pairs]
    assert [[limit["used"] for limit in limits if limit["unit"] == "images"] for limits in used] == [[4]] * 3


def a_change() -> Change:
    return Change("test", utc_now(), lambda: os.urandom(8).hex())


def test_a_key_disabled_anywhere_is_refused_everywhere_in_time(store: Store, gateways: list[GatewayProcess]) -> None:
    key = store.key(user="carol")
    for gateway in gateways:
        assert fetch_json(f"{gateway.url}/usage", key.text)  # all of them remember the key now
    with writing(store.engine) as connection:
        set_key_disabled(connection, key.id, disabled=True, change=a_change())
    time.sleep(KEY_CACHE_SECONDS)  # what is promised is that no request that comes later than this is served
    headers = {"authorization": f"Bearer {key.text}"}
    answers = [httpx2.get(f"{gateway.url}/usage", headers=headers, timeout=30) for gateway in gateways]
    assert [answer.status_code for answer in answers] == [401] * 3


def test_a_limit_set_anywhere_holds_everywhere_at_once(store: Store, gateways: list[GatewayProcess]) -> None:
    """Use from before there was a limit counts, also where there was none to look at."""
    key = store.key(user="dora")
    assert [ask(gateway, key).status_code for gateway in gateways] == [200] * 3
    with writing(store.engine) as connection:
        set_limit(connection, parse_limit("images:4/day").on(Scope.KEY, key.id), change=a_change())
    assert [ask(gateway, key).status_code for gateway in gateways] == [200, 429, 429]
