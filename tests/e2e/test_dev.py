"""`zenmux-gateway dev`, as a stranger types it: what it prints is pasted, and an image is there."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.servers import fetch_json, wait_until

ROOT = Path(__file__).parents[2]


def test_what_dev_prints_works_when_pasted_also_the_second_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GATEWAY_DATA_DIR": str(tmp_path / "data"),
        "GATEWAY_PORT": str(port),
    }
    keys = []
    for turn in ("first", "second"):
        printed = tmp_path / f"{turn}.txt"
        with printed.open("w") as output, (tmp_path / f"{turn}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "app", "dev"], cwd=ROOT, env=environment, stdout=output, stderr=log
            )
        try:
            wait_until(lambda path=printed: "Ctrl-C" in path.read_text(), "dev is ready", 60)  # type: ignore[misc]
            text = printed.read_text()
            curl = text[text.index("curl -sS") : text.index("Or in Python:")]
            python = text[text.index("# pip install openai") : text.index("Ctrl-C stops it")]
            keys.append(text.partition("Your key: ")[2].split()[0])
            for command in (["sh", "-c", curl], [sys.executable, "-c", python]):
                (tmp_path / "boat.png").unlink(missing_ok=True)
                done = subprocess.run(
                    command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
                )
                assert done.returncode == 0, done.stderr
                with Image.open(tmp_path / "boat.png") as image:
                    assert image.size == (1024, 1024)
            assert "SANDBOX" in (tmp_path / f"{turn}.log").read_text()
            assert fetch_json(f"http://127.0.0.1:{port}/readyz")["upstream"].startswith("sandbox")
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
    assert keys[0] == keys[1]
