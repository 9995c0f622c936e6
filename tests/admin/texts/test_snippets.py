"""The snippets, run as they stand against a gateway that answers well, with an error, or not at all.

tests/e2e/test_dev.py runs them against the real one.
"""

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.admin.texts import snippets

KEY = "sk-zg-abc-def"
IMAGE = b"\x89PNG of a boat"


class Gateway(ThreadingHTTPServer):
    """Answers everything with `answer` and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.answer: dict[str, Any] = {"created": 1, "data": [{"b64_json": base64.b64encode(IMAGE).decode()}]}
        self.text: str | None = None  # instead of the answer
        self.asked: list[tuple[str, str | None, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, self.headers["authorization"], body))
        answer = (self.server.text or json.dumps(self.server.answer)).encode()
        self.send_response(self.server.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def run(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_curl_saves_the_image(gateway: Gateway, tmp_path: Path) -> None:
    done = run(["sh", "-c", snippets.curl_snippet(gateway.url, KEY)], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "saved boat.png\n", "")
    assert (tmp_path / "boat.png").read_bytes() == IMAGE
    [(path, authorization, body)] = gateway.asked
    assert (path, authorization) == ("/v1/images/generations", f"Bearer {KEY}")
    assert body["model"] == "gpt-image-2"


def test_curl_tells_the_error_and_saves_nothing(gateway: Gateway, tmp_path: Path) -> None:
    gateway.status, gateway.answer = 429, {"error": {"message": "Your limit images:1/day is used up."}}
    done = run(["sh", "-c", snippets.curl_snippet(gateway.url, KEY)], tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("Your limit images:1/day is used up.\n")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "boat.png").exists()


def test_curl_shows_what_is_no_answer_of_the_gateway(gateway: Gateway, tmp_path: Path) -> None:
    """A proxy's page, say."""
    gateway.status, gateway.text = 502, "<html>Bad gateway</html>"
    done = run(["sh", "-c", snippets.curl_snippet(gateway.url, KEY)], tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("<html>Bad gateway</html>\n")
    assert not (tmp_path / "boat.png").exists()


def test_curl_tells_when_nobody_answers(tmp_path: Path) -> None:
    done = run(["sh", "-c", snippets.curl_snippet("http://127.0.0.1:9/v1", KEY)], tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("curl: (7)")
    assert "Traceback" not in done.stderr


def test_python_saves_the_image(gateway: Gateway, tmp_path: Path) -> None:
    done = run([sys.executable, "-c", snippets.python_snippet(gateway.url, KEY)], tmp_path)
    assert (done.returncode, done.stdout) == (0, "saved boat.png\n"), done.stderr
    assert (tmp_path / "boat.png").read_bytes() == IMAGE
    assert gateway.asked[0][1] == f"Bearer {KEY}"


def test_several_images_are_saved_by_number(gateway: Gateway, tmp_path: Path) -> None:
    gateway.answer["data"] = [{"b64_json": base64.b64encode(IMAGE + bytes([number])).decode()} for number in (1, 2)]
    fields = {"prompt": "⛵ 🛥", "n": 2, "output_format": "jpeg"}
    for command in (
        ["sh", "-c", snippets.curl_snippet(gateway.url, KEY, fields, "sea")],
        [sys.executable, "-c", snippets.python_snippet(gateway.url, KEY, fields, "sea")],
    ):
        done = run(command, tmp_path)
        assert (done.returncode, done.stdout) == (0, "saved sea-1.jpg\nsaved sea-2.jpg\n"), done.stderr
        for number in (1, 2):
            assert (tmp_path / f"sea-{number}.jpg").read_bytes() == IMAGE + bytes([number])
            (tmp_path / f"sea-{number}.jpg").unlink()
    assert [body for _, _, body in gateway.asked] == [fields, fields]


def test_curl_tells_the_error_of_a_stream_and_when_no_image_came(gateway: Gateway, tmp_path: Path) -> None:
    command = ["sh", "-c", snippets.curl_snippet(gateway.url, KEY, {"prompt": "x", "stream": True})]
    for text, told in (
        ('event: error\ndata: {"type":"error","error":{"message":"It broke."}}\n\n', "It broke."),
        ('{"error":{"message":"It broke."}}', "It broke."),
        ("<html>Bad gateway</html>", "no image came"),
    ):
        gateway.text = text
        done = run(command, tmp_path)
        assert (done.returncode, done.stderr) == (1, f"{told}\n")
    assert not (tmp_path / "boat.png").exists()


def test_nothing_in_a_url_or_key_leaves_its_quotes() -> None:
    hostile = "x'; touch hacked; '\"\\\n`${1}\u2028"
    fields = {"prompt": hostile, "n": 2}
    for more in ({}, {"n": 1}, {"stream": True}):
        compile(snippets.python_snippet(hostile, hostile, fields | more), "snippet", "exec")
    words = snippets.curl_snippet(hostile, hostile, fields)
    assert subprocess.run(["sh", "-n", "-c", words], check=False).returncode == 0
