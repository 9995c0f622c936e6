"""What every test shares: the event loop's flavour, the databases of tests/stores.py, whose certificates are trusted,
how many examples are tried; which tests are quick; and that figures are shown."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.memory import use_temporary_root

pytest_plugins = ["tests.drawings", "tests.stores"]

_ROOT = Path(__file__).parent
# They start servers or other processes, or make a store for nearly every test.
_NOT_QUICK = {
    _ROOT / name
    for name in (
        "admin_api", "bench", "chaos", "cli/commands", "console", "database/test_upgrades.py", "deploy", "e2e",
        "server/http", "upstream/test_contract.py",
    )
}  # fmt: skip
# What their fixtures start lives as long as a module: one test process starts it, not every one.
_IN_ONE_PROCESS = {
    _ROOT / name
    for name in (
        "api/endpoints/test_files.py", "bench/test_rig.py", "console/browser", "console/test_pages.py",
        "e2e/test_buckets.py", "e2e/test_job_retries.py", "e2e/test_loop_stall.py", "e2e/test_openai_node.py",
        "e2e/test_store_outage.py",
    )
}  # fmt: skip
_DOORS = {_ROOT / "admin_api", _ROOT / "console"}
_NOT_QUICK_NAMES = {
    "GatewayProcess",
    "fork_server",
    "run_command",
    "Process",
    "RunningGateway",
    "multiprocessing",
    "subprocess",
}

# A busy machine is no failure.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", _PATIENT, max_examples=25)
settings.register_profile("usual", _PATIENT, max_examples=100)
settings.register_profile("full", _PATIENT, max_examples=500)


def pytest_configure() -> None:
    use_temporary_root()
    # One certificate, whose key nobody has, instead of the system's 140: reading those takes 20 ms for every client.
    os.environ["SSL_CERT_FILE"] = str(_ROOT / "nobody.pem")
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "usual")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is not quick is not even read by `-m quick`."""
    return True if config.option.markexpr == "quick" and collection_path in _NOT_QUICK else None


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _around(item.path) & _IN_ONE_PROCESS:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
        if _is_on_postgresql(item) and _around(item.path) & _DOORS:
            item.add_marker(pytest.mark.long("what the rooms behind a door do is tried on both engines in every run"))
        if _is_quick(item):
            item.add_marker("quick")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Figures that a test measured are shown, also where it passed: `record_property("figure", …)`."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "figure":
                terminalreporter.write_line(str(value))


@cache
def _around(path: Path) -> set[Path]:
    return {path, *path.parents}


def _is_quick(item: Any) -> bool:
    """It needs no other process, no PostgreSQL and no gateway that listens."""
    if _around(item.path) & _NOT_QUICK or _NOT_QUICK_NAMES & vars(item.module).keys():
        return False
    needs_postgresql = _is_on_postgresql(item) or any("postgresql" in name for name in item.fixturenames)
    return not needs_postgresql and item.get_closest_marker("long") is None


def _is_on_postgresql(item: Any) -> bool:
    return hasattr(item, "callspec") and "postgresql" in item.callspec.params.values()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
