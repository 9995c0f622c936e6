"""The programs that the playground shows, run as somebody who pastes them runs them."""

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers import Key

_NODE, _SCRIPTS = shutil.which("node"), Path(__file__).parents[2] / "node"


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
        done = subprocess.run(
            [*command, program],
            cwd=folder,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout.split("\n")[:-1]) == (0, [f"saved {file}" for file in saves]), done.stderr
        saved[name] = [(folder / file).read_bytes() for file in saves]
        for file in saves:
            (folder / file).unlink()
    return saved
