"""What every test shares: the event loop's flavour, the databases of tests/stores.py, whose certificates are trusted."""

import os
from pathlib import Path

import pytest

from tests.memory import use_temporary_root

pytest_plugins = ["tests.stores"]


def pytest_configure() -> None:
    use_temporary_root()
    # One certificate, whose key nobody has, instead of the system's 140: reading those takes 20 ms for every client.
    os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("nobody.pem"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
