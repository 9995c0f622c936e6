"""The limit of descriptors: raised, divided up, and told where it is too low."""

import resource
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.server.http.descriptors import Division
from tests.server.served import error_in, read_all
from tests.servers import GatewayProcess, read_metric, wait_until


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128));"
        "from app.server.http.descriptors import raise_limit; print(raise_limit(), raise_limit());"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split() == ["128", "128", "128", "128"]


@pytest.mark.parametrize(
    ("descriptors", "in_flight", "wished", "connections"),
    [
        (1_000_000, 1000, 3000, 3000),
        (-1, 1000, 3000, 3000),
        (2096, 1000, 3000, 1000),
        (1024, 1000, 3000, 464),  # half for callers, half for ZenMux
        (1024, 10, 3000, 918),
        (32, 10, 3000, 16),
    ],
)
def test_callers_get_what_zenmux_does_not_need(descriptors: int, in_flight: int, wished: int, connections: int) -> None:
    assert Division(descriptors, in_flight, wished).connections_max == connections


def test_the_operator_is_told_what_is_too_low() -> None:
    assert Division(2096, 1000, 3000).advice() is None
    assert Division(-1, 1000, 3000).advice() is None
    advice = Division(1024, 1000, 3000).advice()
    assert advice is not None
    assert "1024" in advice
    assert "2096" in advice
    assert "GATEWAY_REQUESTS_IN_FLIGHT_MAX" in advice


def test_where_descriptors_are_few_connections_are_refused_in_words_and_counted(tmp_path: Path) -> None:
    module = "tests.server.few_descriptors"
    with GatewayProcess(tmp_path / "data", "http://127.0.0.1:9/v1", module=module) as gateway:
        assert "GATEWAY_REQUESTS_IN_FLIGHT_MAX" in gateway.log()
        assert resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE) == (256, 256)
        refused: list[bytes] = []
        with ExitStack() as stack:
            for _ in range(200):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=20))
                connection.sendall(b"GET /healthz HTTP/1.1\r\n")
                connection.settimeout(0.02)
                try:
                    refused.append(read_all(connection))
                except TimeoutError:
                    continue
                except ConnectionResetError:
                    refused.append(b"")
        assert len(refused) >= 100
        # Where a caller sends while it is refused, the answer may be lost to the reset.
        told = [answer for answer in refused if answer]
        assert len(told) > len(refused) / 2
        assert {error_in(answer)["code"] for answer in told} == {"server_is_overloaded"}
        wait_until(gateway.is_ready, "it serves again")
        assert read_metric(gateway.root, "zenmux_gateway_connection_faults_total", kind="too_many") >= len(refused)
        assert read_metric(gateway.root, "zenmux_gateway_connection_faults_total", kind="no_descriptors") == 0
        assert "connections_refused" in gateway.log()
