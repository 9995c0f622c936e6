"""A gateway with its console in front of a real sandbox, and somebody who is signed in."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.admin.access.sign_in import create_link
from app.admin.operator import Operator
from app.admin.users import create_user
from app.main import utc_now
from app.sandbox.server import SandboxServer
from tests.console.conftest import ADMIN_KEY, Browser, Console, console_settings
from tests.servers import GatewayProcess, Key, RunningGateway, assert_bill_is_ledger


@dataclass
class Pair:
    """The console of a gateway, and the ZenMux behind it."""

    console: Console
    sandbox: SandboxServer

    def key(self, *limits: str, user: str = "vera", **fields: Any) -> Key:
        return self.console.gateway.store.key(*limits, user=user, **fields)

    def is_untouched(self) -> bool:
        """Nothing was bought, and nothing reserved."""
        assert_bill_is_ledger(self.console.gateway, self.sandbox, 0)
        return self.console.gateway.store.rows() == []


@pytest.fixture
def pair(tmp_path: Path, store_url: str) -> Iterator[Pair]:
    with SandboxServer() as sandbox:
        settings = console_settings(tmp_path / "data", store_url).model_copy(update={"zenmux_base_url": sandbox.url})
        with RunningGateway(settings) as gateway:
            found = Pair(Console(gateway, []), sandbox)
            yield found
            for browser in found.console.browsers:
                browser.client.close()


@pytest.fixture
def vera(pair: Pair) -> Browser:
    return pair.console.signed_in("vera")


@contextmanager
def probed(folder: Path) -> Iterator[tuple[GatewayProcess, SandboxServer, Browser]]:
    """A gateway in a process of its own, with a probe on its event loop; vera is signed in."""
    settings = {"GATEWAY_ADMIN_KEY": ADMIN_KEY, "GATEWAY_LOG_LEVEL": "error"}
    with (
        SandboxServer() as sandbox,
        GatewayProcess(folder / "data", sandbox.url, module="tests.loop_stall", **settings) as gateway,
    ):
        browser, operator = Browser(gateway.root), Operator(gateway.store.engine, utc_now, "cli:test")
        create_user(operator, "vera")
        browser.post(f"/console/link/{create_link(operator, 'vera', None).get_secret_value()}")
        with closing(browser.client):
            yield gateway, sandbox, browser
