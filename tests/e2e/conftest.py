"""The pair every test here runs: a real sandbox, and a real gateway in front of it, both on loopback."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.database.clock import Clock
from app.main import utc_now
from app.sandbox.server import SandboxServer
from app.settings.settings import Settings
from tests.servers import UPSTREAM_KEY, RunningGateway

StartGateway = Callable[..., RunningGateway]


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[StartGateway]:
    """Starts a gateway in front of `upstream_url`, with settings and a `clock` of the test's own."""
    with ExitStack() as stack:

        def start(upstream_url: str, clock: Clock = utc_now, **settings: Any) -> RunningGateway:
            chosen: dict[str, Any] = {
                "zenmux_api_key": UPSTREAM_KEY,
                "zenmux_base_url": upstream_url,
                "data_dir": tmp_path / "data",
                "key_cache_seconds": 0,
                **settings,
            }
            return stack.enter_context(RunningGateway(Settings(_env_file=None, **chosen), clock))

        yield start


@pytest.fixture
def gateway(start_gateway: StartGateway, sandbox: SandboxServer) -> RunningGateway:
    return start_gateway(sandbox.url)
