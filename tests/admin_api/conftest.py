"""A gateway on loopback, on either engine, and clients of its admin API with every kind of credential."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.admin.keys import WantedKey, create_key
from app.admin.operator import Operator
from app.admin.teams import create_team
from app.admin.users import create_user
from app.database.changes import RecordedChange, list_changes
from app.database.engine import reading
from app.identity.people.roles import Role
from app.main import utc_now
from app.settings.settings import Settings
from tests.servers import UPSTREAM_KEY, RunningGateway

ADMIN_KEY = "0123456789abcdef0123456789abcdef"


@dataclass
class Admin:
    """A gateway's admin API as somebody: paths are below /admin/v1."""

    gateway: RunningGateway
    key: str = ADMIN_KEY

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.key}"} | more.pop("headers", {})
        where = path if path.startswith("/v1/") else f"/admin/v1{path}"
        return httpx2.request(method, f"{self.gateway.root}{where}", headers=headers, timeout=30, **more)

    def get(self, path: str, **more: Any) -> httpx2.Response:
        return self.ask("GET", path, **more)

    def as_(self, key: str) -> "Admin":
        return Admin(self.gateway, key)

    @property
    def operator(self) -> Operator:
        """A terminal on the server."""
        return Operator(self.gateway.store.engine, utc_now, "cli:test")

    def changes(self) -> list[RecordedChange]:
        """The list of changes, oldest first."""
        with reading(self.gateway.store.engine) as connection:
            return list(list_changes(connection, 1000))[::-1]

    def actions(self) -> list[str]:
        return [change.action for change in self.changes()]

    def key_of(self, user: str, role: Role | None = None) -> str:
        """A new key's text."""
        return create_key(self.operator, WantedKey(user, role=role)).text.get_secret_value()


@pytest.fixture
def upstream_url() -> str:
    """Nobody answers there. Tests that buy have a sandbox instead."""
    return "http://127.0.0.1:9/v1"


@pytest.fixture
def admin(tmp_path: Path, store_url: str, upstream_url: str) -> Iterator[Admin]:
    """The API as GATEWAY_ADMIN_KEY: an admin that is nobody."""
    settings = Settings(
        _env_file=None,
        zenmux_api_key=UPSTREAM_KEY,
        zenmux_base_url=upstream_url,
        data_dir=tmp_path / "data",
        database_url=store_url,
        key_cache_seconds=0,
        admin_key=ADMIN_KEY,
    )
    with RunningGateway(settings) as gateway:
        yield Admin(gateway)


@pytest.fixture
def everybody(admin: Admin) -> dict[Role, Admin]:
    """The API as each role. Lena leads the team a, in which Mia is; Otto is in the team b, the others in none."""
    create_team(admin.operator, "a")
    create_team(admin.operator, "b")
    for name, team in (("ada", None), ("aud", None), ("lena", "a"), ("mia", "a"), ("otto", "b")):
        create_user(admin.operator, name, team=team)
    return {
        Role.ADMIN: admin.as_(admin.key_of("ada", Role.ADMIN)),
        Role.AUDITOR: admin.as_(admin.key_of("aud", Role.AUDITOR)),
        Role.LEAD: admin.as_(admin.key_of("lena", Role.LEAD)),
        Role.MEMBER: admin.as_(admin.key_of("mia")),
    }
