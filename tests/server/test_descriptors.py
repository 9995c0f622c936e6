"""The limit of descriptors: raised, divided up, and told where it is too low."""

import subprocess
import sys

import pytest

from app.server.descriptors import Division


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128));"
        "from app.server.descriptors import raise_limit; print(raise_limit(), raise_limit());"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split() == ["128", "128", "128", "128"]


@pytest.mark.parametrize(
    ("descriptors", "in_flight", "wished", "connections"),
    [
        (1_000_000, 1000, 3000, 3000),
        (-1, 1000, 3000, 3000),
        (2064, 1000, 3000, 1000),
        (1024, 1000, 3000, 480),  # half for callers, half for ZenMux
        (1024, 10, 3000, 950),
        (32, 10, 3000, 16),
    ],
)
def test_callers_get_what_zenmux_does_not_need(descriptors: int, in_flight: int, wished: int, connections: int) -> None:
    assert Division(descriptors, in_flight, wished).connections_max == connections


def test_the_operator_is_told_what_is_too_low() -> None:
    assert Division(2064, 1000, 3000).advice() is None
    assert Division(-1, 1000, 3000).advice() is None
    advice = Division(1024, 1000, 3000).advice()
    assert advice is not None
    assert "1024" in advice
    assert "2064" in advice
    assert "GATEWAY_REQUESTS_IN_FLIGHT_MAX" in advice
