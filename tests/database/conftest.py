"""A gateway that is one schema further than this one."""

import shutil
from pathlib import Path

import pytest

from app.database import migrations

LATER = f"{int(migrations.HEAD) + 1:04d}"


@pytest.fixture
def later_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes the gateway one that has a later step; returns where to write it."""
    folder = tmp_path / "100% later"  # a name that a configuration file would have to escape
    shutil.copytree(Path(migrations.__file__).parent, folder)
    monkeypatch.setattr(migrations, "__file__", str(folder / "__init__.py"))
    monkeypatch.setattr(migrations, "HEAD", LATER)
    return folder / "versions" / f"v{LATER}_later.py"
