"""`version`."""

import platform

import app
from tests.cli.conftest import Cli


def test_version_for_people_and_programs(cli: Cli) -> None:
    assert cli("version").stdout == f"zenmux-gateway {app.__version__}\n"
    assert cli.json("version") == {"version": app.__version__, "python": platform.python_version()}
