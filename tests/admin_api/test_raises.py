"""A limit that is raised for a time: more is sold until then, the old amount counts after it, and everybody sees it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from app.admin.views import iso
from app.main import utc_now
from app.sandbox.server import SandboxServer
from app.settings.settings import Settings
from tests.admin_api.conftest import ADMIN_KEY, Admin
from tests.admin_api.test_records import buy, rows
from tests.servers import UPSTREAM_KEY, RunningGateway, fetch_json

BODY = {"scope": "user", "name": "alice", "unit": "images", "window": "total", "amount": 1}


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> object:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def moved(tmp_path: Path, store_url: str, clock: Clock, sandbox: SandboxServer) -> Iterator[Admin]:
    settings = Settings(
        _env_file=None,
        zenmux_api_key=UPSTREAM_KEY,
        zenmux_base_url=sandbox.url,
        data_dir=tmp_path / "data",
        database_url=store_url,
        key_cache_seconds=0,
        admin_key=ADMIN_KEY,
    )
    with RunningGateway(settings, clock) as gateway:  # type: ignore[arg-type]  # it gives a moment
        yield Admin(gateway)


def test_a_raise_ends_by_itself(moved: Admin, clock: Clock, sandbox: SandboxServer) -> None:
    key, until = moved.key_of("alice"), clock.now + timedelta(hours=1)
    assert moved.ask("PUT", "/limits", json=BODY).status_code == 201
    raised = moved.ask("PUT", "/limits", json=BODY | {"raised_to": 3, "raised_until": until.isoformat()})
    assert raised.status_code == 200, raised.text
    assert (raised.json()["amount"], raised.json()["raised_to"]) == (1, 3)
    assert moved.changes()[-1].after == {
        "limit": "images:1/total",
        "shadow": False,
        "raised": "images:3/total",
        "until": until.replace(microsecond=until.microsecond // 1000 * 1000).isoformat(),
    }
    assert [buy(moved, key).status_code for _ in range(2)] == [200, 200]
    (seen,) = fetch_json(f"{moved.gateway.url}/usage", key)["limits"]
    assert (seen["amount"], seen["left"], seen["raised_until"]) == (3, 1, iso(until))
    clock.now = until
    refused = buy(moved, key)
    assert (refused.status_code, "images:1/total" in refused.text) == (429, True)
    (seen,) = fetch_json(f"{moved.gateway.url}/usage", key)["limits"]
    assert (seen["amount"], seen["left"], seen["raised_until"]) == (1, 0, None)
    moved.gateway.store.settled(2)
    assert moved.gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_setting_a_limit_ends_its_raise(moved: Admin, clock: Clock) -> None:
    moved.key_of("alice")
    until = (clock.now + timedelta(hours=1)).isoformat()
    moved.ask("PUT", "/limits", json=BODY | {"raised_to": 3, "raised_until": until})
    assert moved.ask("PUT", "/limits", json=BODY).json()["raised_until"] is None
    assert rows(moved, "/limits")[0]["raised_to"] is None


def test_what_is_no_raise_is_refused(moved: Admin, clock: Clock) -> None:
    moved.key_of("alice")
    later, before = ((clock.now + timedelta(hours=hours)).isoformat() for hours in (1, -1))
    for more, param in (
        ({"raised_to": 1, "raised_until": later}, None),
        ({"raised_to": 3, "raised_until": before}, None),
        ({"raised_to": "many", "raised_until": later}, "raised_to"),
        ({"raised_to": 3}, "raised_until"),
        ({"raised_until": later}, "raised_to"),
    ):
        refused = moved.ask("PUT", "/limits", json={**BODY, **more})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param), refused.text
    assert rows(moved, "/limits") == []
