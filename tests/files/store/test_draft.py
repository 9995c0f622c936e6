"""Files that are being written are those of living processes."""

import subprocess
import sys
from pathlib import Path

from app.files.store.draft import Draft, remove_dead_drafts


def test_a_living_draft_stays(tmp_path: Path) -> None:
    draft = Draft(tmp_path, "one")
    assert draft.append(bytearray(b"abc")) == 3
    assert remove_dead_drafts(tmp_path) == 0
    assert draft.path.read_bytes() == b"abc"
    draft.close()
    draft.close()
    assert list(tmp_path.iterdir()) == []


def test_the_drafts_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    program = (
        "import os, sys, pathlib\nfrom app.files.store.draft import Draft\n"
        "draft = Draft(pathlib.Path(sys.argv[1]), 'one'); draft.append(bytearray(b'abc')); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == -9
    assert [path.name for path in tmp_path.iterdir()] == ["one.part"]
    assert remove_dead_drafts(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_draft_is_left(tmp_path: Path) -> None:
    (tmp_path / "0").write_bytes(b"kept")
    assert remove_dead_drafts(tmp_path) == 0
    assert (tmp_path / "0").read_bytes() == b"kept"
