"""A terminal for tests: commands run in this process, with a data folder, a clock and chance of the test's own."""

import gc
import itertools
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.cli.main import app
from app.cli.terminal.output import Terminal

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


class Cli:
    """`zenmux-gateway …` with nobody at the keyboard. `environment` holds its settings."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.now = NOW
        self.environment: dict[str, str] = {"GATEWAY_DATA_DIR": str(data_dir)}
        self._numbers = itertools.count(1)

    def __call__(self, *arguments: str, code: int = 0) -> Result:
        """Run one command; it must end with `code`, and never with a traceback."""
        terminal = Terminal(clock=lambda: self.now, random_bytes=self._random_bytes, actor="cli:test")
        result = CliRunner().invoke(app, list(arguments), env=self.environment, obj=terminal)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code).stdout)

    def _random_bytes(self, count: int) -> bytes:
        return next(self._numbers).to_bytes(count, "little")


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """Commands run in this process, which goes on: what `loading` withheld from the collector is its again."""
    yield
    gc.unfreeze()


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    for name in os.environ:
        if name.startswith(("GATEWAY_", "ZENMUX_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    return Cli(tmp_path / "data")
