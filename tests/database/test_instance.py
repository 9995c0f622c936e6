import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.database.instance import only_instance
from app.errors import ConfigurationError, Conflict

HOLD = """
import sys
from pathlib import Path
from app.database.instance import only_instance
with only_instance(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def start_holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=20)


def test_a_second_process_is_refused_with_the_reason_and_the_way_out(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    with pytest.raises(Conflict) as refusal, only_instance(tmp_path):
        pass
    end(holder)
    for part in (str(holder.pid), str(tmp_path), "GATEWAY_DATA_DIR", "GATEWAY_DATABASE_URL=postgresql://"):
        assert part in refusal.value.message


def test_the_folder_is_free_after_the_holder_ended(tmp_path: Path) -> None:
    end(start_holder(tmp_path))
    with only_instance(tmp_path):
        pass


def test_the_folder_is_free_after_the_holder_was_killed(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    os.kill(holder.pid, signal.SIGKILL)
    end(holder)
    assert holder.returncode == -signal.SIGKILL
    with only_instance(tmp_path):
        assert (tmp_path / "gateway.lock").read_text() == f"{os.getpid()}\n"


def test_a_refused_process_does_not_free_the_folder(tmp_path: Path) -> None:
    with only_instance(tmp_path):
        for _ in range(2):
            with pytest.raises(Conflict), only_instance(tmp_path):
                pass
    with only_instance(tmp_path):
        pass


def test_other_folders_are_free(tmp_path: Path) -> None:
    with only_instance(tmp_path / "a"), only_instance(tmp_path / "b"):
        pass


def test_the_folder_and_its_lock_are_the_owners_alone(tmp_path: Path) -> None:
    with only_instance(tmp_path / "data"):
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "data" / "gateway.lock").stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as refusal, only_instance(tmp_path / "file" / "data"):
        pass
    assert "file/data/gateway.lock cannot be written: Not a directory" in refusal.value.message
