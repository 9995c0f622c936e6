"""The programs that the playground shows, run as somebody who pastes them runs them."""

import html
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.servers import Key

each_sort_of_answer = pytest.mark.parametrize(
    "more",
    [
        {"n": "2", "output_format": "webp"},
        *(
            pytest.param(
                fields, marks=pytest.mark.long("three programs start; every run asks for two images with them")
            )
            for fields in ({}, {"stream": "true", "partial_images": "1"})
        ),
    ],
)
_NODE, _SCRIPTS = shutil.which("node"), Path(__file__).parents[2] / "node"


def run_program(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False
    )


def run_programs(page: str, key: Key, folder: Path, saves: list[str]) -> dict[str, list[bytes]]:
    """Runs each program of the page in this folder, where it must save these files. Returns what each one saved."""
    commands = {"curl": ["sh", "-c"], "python": [sys.executable, "-c"]}
    if _NODE is not None and (_SCRIPTS / "node_modules" / "openai").is_dir():
        commands["javascript"] = [_NODE, "--input-type=module", "-e"]
        (folder / "node_modules").symlink_to(_SCRIPTS / "node_modules")
    saved = {}
    for name, command in commands.items():
        (found,) = re.findall(rf'id="snippet-{name}">(.*?)</code>', page, re.DOTALL)
        program = html.unescape(found).replace("sk-zg-YOUR-KEY", key.text)
        done = run_program([*command, program], folder)
        assert (done.returncode, done.stdout.split("\n")[:-1]) == (0, [f"saved {file}" for file in saves]), done.stderr
        saved[name] = [(folder / file).read_bytes() for file in saves]
        for file in saves:
            (folder / file).unlink()
    return saved
