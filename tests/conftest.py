"""What every test shares: the event loop's flavour, and the databases of tests/stores.py."""

import pytest

pytest_plugins = ["tests.stores"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
