"""A gateway on loopback, on either engine, and browsers without JavaScript that visit its console."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.admin.access.sign_in import create_link
from app.admin.operator import Operator
from app.admin.users import create_user, list_users
from app.main import utc_now
from app.settings.settings import Settings
from tests.servers import UPSTREAM_KEY, RunningGateway

ADMIN_KEY = "0123456789abcdef0123456789abcdef"
FROM_HERE = {"sec-fetch-site": "same-origin"}


class Browser:
    """Keeps cookies, follows no redirect by itself, and says that its forms come from the console."""

    def __init__(self, root: str) -> None:
        headers = {"accept": "text/html", "user-agent": "Testing/1"}
        self.client = httpx2.Client(base_url=root, timeout=30, headers=headers)

    def get(self, path: str, **more: Any) -> httpx2.Response:
        return self.client.get(path, **more)

    def post(self, path: str, headers: dict[str, str] | None = None, /, **form: str) -> httpx2.Response:
        """A form of the console, sent from the console unless `headers` say otherwise."""
        return self.client.post(path, data=form, headers=FROM_HERE if headers is None else headers)

    @property
    def token(self) -> str | None:
        return self.client.cookies.get("zg_session")


@dataclass
class Console:
    """A running gateway with its console, and the terminal on its server."""

    gateway: RunningGateway
    browsers: list[Browser]

    @property
    def operator(self) -> Operator:
        return Operator(self.gateway.store.engine, utc_now, "cli:test")

    def browser(self) -> Browser:
        self.browsers.append(Browser(self.gateway.root))
        return self.browsers[-1]

    def link(self, user: str, role: str | None = None) -> str:
        """The path of a link that signs in a user, who is made if there is none."""
        if user not in [view.user.name for view in list_users(self.operator)]:
            create_user(self.operator, user)
        return f"/console/link/{create_link(self.operator, user, role).get_secret_value()}"

    def signed_in(self, user: str, role: str | None = None) -> Browser:
        """A browser in which this user is signed in."""
        browser = self.browser()
        answer = browser.post(self.link(user, role))
        assert (answer.status_code, answer.headers["location"]) == (303, "/console"), answer.text
        return browser


def console_settings(data_dir: Path, store_url: str, **more: Any) -> Settings:
    return Settings(
        _env_file=None,
        zenmux_api_key=UPSTREAM_KEY,
        zenmux_base_url="http://127.0.0.1:9/v1",
        data_dir=data_dir,
        database_url=store_url,
        key_cache_seconds=0,
        admin_key=ADMIN_KEY,
        **more,
    )


@pytest.fixture
def console(tmp_path: Path, store_url: str) -> Iterator[Console]:
    with open_console(tmp_path / "data", store_url) as found:
        yield found


@contextmanager
def open_console(data_dir: Path, store_url: str) -> Iterator[Console]:
    with RunningGateway(console_settings(data_dir, store_url)) as gateway:
        found = Console(gateway, [])
        yield found
        for browser in found.browsers:
            browser.client.close()
