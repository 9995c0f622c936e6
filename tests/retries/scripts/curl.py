"""curl --retry 3."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from tests.retries.scripts.asking import BODY, PROMPT, SECONDS, report


def draw() -> str:
    command = ["curl", "-sS", "--fail-with-body", "--retry", "3", "--max-time", str(SECONDS)]
    headers = [f"Authorization: Bearer {os.environ['OPENAI_API_KEY']}", "Content-Type: application/json"]
    command += [part for header in headers for part in ("-H", header)]
    command += ["-d", json.dumps({**BODY, "prompt": PROMPT}), os.environ["OPENAI_BASE_URL"] + "/images/generations"]
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        done = subprocess.run([*command, "-o", answer], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(done.returncode, done.stderr.strip())
        image: str = json.loads(answer.read_text())["data"][0]["b64_json"]
        return image


report(subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout.split()[1], draw)
