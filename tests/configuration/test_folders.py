"""Folders that cannot work are refused before a start, each with its path and the remedy."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from app.configuration.folders import check_folders
from app.errors import ConfigurationError
from app.settings.settings import Settings

NOBODY = 65534


def settings(data_dir: Path) -> Settings:
    return Settings(_env_file=None, data_dir=data_dir)


def test_folders_that_are_not_there_yet_are_fine_and_none_is_made(tmp_path: Path) -> None:
    check_folders(settings(tmp_path / "a" / "b"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "spool", "uploads", "files"])
@pytest.mark.parametrize("kind", ["a file", "a link that leads nowhere"])
def test_what_is_no_folder_is_named(tmp_path: Path, name: str, kind: str) -> None:
    place = tmp_path / "data" / name
    place.parent.mkdir(exist_ok=True)
    if kind == "a file":
        place.touch()
    else:
        place.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError) as refused:
        check_folders(settings(tmp_path / "data"))
    assert refused.value.message == (
        f"The gateway needs the folder {place}, but {place} is there and is no folder. Move it away, or name another "
        "folder in GATEWAY_DATA_DIR."
    )


def test_a_file_above_the_data_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=rf"folder {tmp_path}/file/data, but {tmp_path}/file is there"):
        check_folders(settings(tmp_path / "file" / "data"))


def test_a_folder_may_be_a_link_to_one(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "files").symlink_to(tmp_path / "disk")
    check_folders(settings(tmp_path / "data"))


@pytest.fixture
def top() -> Iterator[Path]:
    """A folder that everybody may enter: pytest's are their owner's alone."""
    with TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o777)
        yield folder


@pytest.mark.parametrize("name", ["data", "data/uploads", "."])
def test_a_folder_that_the_user_may_not_write_is_named(top: Path, name: str) -> None:
    (top / "data" / "uploads").mkdir(parents=True)
    for each in (top / "data", top / "data" / "uploads"):
        each.chmod(0o777)
    if name == ".":
        (top / "data" / "uploads").rmdir()
        (top / "data").rmdir()
    place = (top / name).resolve()
    place.chmod(0o555)
    refused = _as_nobody(top / "data")
    place.chmod(0o777)
    assert refused.startswith(f"The gateway needs to write to the folder {top}/data")
    assert f"(number {NOBODY if os.geteuid() == 0 else os.geteuid()}) may not write to {place}. Give" in refused
    assert refused.endswith("or name another one in GATEWAY_DATA_DIR.")


def _as_nobody(data_dir: Path) -> str:
    """What is refused, as a user without special rights: root may write everywhere."""
    program = f"""
import os
from pathlib import Path
from app.configuration.folders import check_folders
from app.errors import ConfigurationError
from app.settings.settings import Settings
chosen = Settings(_env_file=None, data_dir=Path({str(data_dir)!r}))
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
try:
    check_folders(chosen)
except ConfigurationError as error:
    print(error.message, end="")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout
