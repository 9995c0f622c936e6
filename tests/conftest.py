"""What every test shares: the event loop's flavour, and the databases of tests/stores.py."""

import pytest

from tests.memory import use_temporary_root

pytest_plugins = ["tests.stores"]


def pytest_configure() -> None:
    use_temporary_root()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
