"""A gateway with its console in front of a real sandbox, and somebody who is signed in."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.sandbox.server import SandboxServer
from tests.console.conftest import Browser, Console, console_settings
from tests.servers import Key, RunningGateway, assert_bill_is_ledger


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
