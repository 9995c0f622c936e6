"""What the limit of descriptors means for requests and connections: the limit itself, and the rule as a table."""

import subprocess
import sys

import pytest

from app.settings.callers.descriptors import PER_REQUEST, capacity
from app.settings.settings import Settings


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))\n"
        "from app.settings.callers.descriptors import allowed, raise_limit\n"
        "before = allowed(); raise_limit(); raise_limit()\n"
        "print(before, allowed(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split() == ["128", "128", "128", "128"]


@pytest.mark.parametrize(
    ("descriptors", "chosen", "found"),
    [  # chosen and found are requests, connections to ZenMux, connections of callers
        (32, (None, None, None), (1, 1, 16)),
        (256, (None, None, None), (40, 40, 80)),
        (1024, (None, None, None), (232, 232, 464)),
        (16_096, (None, None, None), (5000, 5000, 6000)),
        (20_000, (None, None, None), (5000, 5000, 9904)),
        (65_536, (None, None, None), (5000, 5000, 11_000)),
        (65_536, (20_000, None, None), (20_000, 20_000, 25_440)),
        (65_536, (100, None, None), (100, 100, 1200)),
        (65_536, (None, 200, 50), (5000, 200, 50)),
        (1024, (1000, None, None), (1000, 1000, 310)),
    ],
)
def test_what_is_not_chosen_follows_the_descriptors(
    descriptors: int, chosen: tuple[int | None, int | None, int | None], found: tuple[int, int, int]
) -> None:
    made = capacity(descriptors, *chosen)
    assert (made.requests_in_flight_max, made.upstream_connections_max, made.connections_max) == found


@pytest.mark.parametrize("in_flight", [None, 10, 1000, 20_000])
@pytest.mark.parametrize("descriptors", [200, 256, 1000, 1024, 5000, 20_000, 65_536])
def test_callers_leave_what_their_requests_need(descriptors: int, in_flight: int | None) -> None:
    """As many requests as callers may have connections for, each with all its descriptors, never need more."""
    made = capacity(descriptors, in_flight, None, None)
    running = min(made.requests_in_flight_max, made.connections_max)
    assert made.connections_max + (PER_REQUEST - 1) * running <= descriptors


def test_the_operator_is_told_which_number_does_not_fit() -> None:
    assert capacity(256, None, None, None).advice is None
    assert capacity(3096, 1000, None, None).advice is None
    told = capacity(1024, 1000, None, None).advice
    assert told is not None
    assert "1024" in told
    assert "1000 requests in flight (GATEWAY_REQUESTS_IN_FLIGHT_MAX) need 3096" in told
    told = capacity(1024, None, None, 3000).advice
    assert told is not None
    assert "464 connections of callers fit, not 3000 (GATEWAY_CONNECTIONS_MAX)" in told


def test_the_settings_ask_the_process_they_are_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 1024))
    assert Settings(_env_file=None).capacity.requests_in_flight_max == 232
    assert Settings(_env_file=None, requests_in_flight_max=7).capacity.requests_in_flight_max == 7
    monkeypatch.setattr("resource.getrlimit", lambda _: (256, -1))  # no hard limit
    assert Settings(_env_file=None).capacity.descriptors == 10_240
