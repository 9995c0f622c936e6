"""No caller holds the event loop: the dearest request of each kind, without a key and with one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.sandbox.server import SandboxServer
from tests.garbage import large, send
from tests.loop_stall import assert_no_stall
from tests.servers import GatewayProcess, Key


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    data_dir: Path = tmp_path_factory.mktemp("stall") / "data"
    quiet = {"GATEWAY_LOG_LEVEL": "error"}
    with (
        SandboxServer() as sandbox,
        GatewayProcess(data_dir, sandbox.url, module="tests.loop_stall", **quiet) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def key(gateway: GatewayProcess) -> Key:
    return gateway.store.key()


@pytest.mark.parametrize("name", large(None))
@pytest.mark.parametrize("with_key", [False, True])
def test_no_request_holds_the_loop(gateway: GatewayProcess, key: Key, name: str, *, with_key: bool) -> None:
    request = large(key.text if with_key else None)[name]
    assert_no_stall(gateway.root, lambda: send(gateway.port, request))
