"""`version`."""

import platform
from pathlib import Path

import pytest

import app
from app.cli.commands import version
from tests.cli.conftest import Cli


def test_version_for_people_and_programs(cli: Cli) -> None:
    assert cli("version").stdout == f"zenmux-gateway {app.__version__}\n"
    assert cli.json("version") == {"version": app.__version__, "commit": None, "python": platform.python_version()}


def test_what_was_built_says_from_which_commit(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "COMMIT").write_text("0123456789ab\n")
    monkeypatch.setattr(version, "files", lambda _: tmp_path)
    assert cli("--version").stdout == cli("version").stdout == f"zenmux-gateway {app.__version__} (0123456789ab)\n"
    assert cli.json("version")["commit"] == "0123456789ab"
