"""One stand-in for all tests of this folder, with an empty bill for each."""

from collections.abc import Iterator

import httpx2
import pytest

from app.sandbox.options import SandboxOptions
from app.sandbox.server import SandboxServer
from tests.sandbox.support import KEY, NOON, Client


@pytest.fixture(scope="session")
def running() -> Iterator[SandboxServer]:
    with SandboxServer(options=SandboxOptions(clock=lambda: NOON, comment_seconds=0.05)) as server:
        yield server


@pytest.fixture(scope="session")
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(headers={"Authorization": f"Bearer {KEY}"}, timeout=30) as http:
        yield http


@pytest.fixture
def client(running: SandboxServer, http: httpx2.Client) -> Client:
    http.delete(running.bill_url)
    return Client(running, http)
