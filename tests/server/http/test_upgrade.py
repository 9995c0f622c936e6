"""Offers to upgrade, of any kind and on any request, are ignored; the request is served in full."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.served import Served, error_in, read_answer

OFFERS = [
    b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n",
    b"connection: keep-alive, Upgrade\r\nupgrade: TLS/1.0\r\n",
]
SIZED = b"content-length: 5\r\n\r\nhello"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
JDK = Path(__file__).parent / "Ask.java"


@pytest.fixture
def served() -> Iterator[Served]:
    with Served() as server:
        yield server


@pytest.mark.parametrize("packet_bytes", [10_000, 60, 1])
@pytest.mark.parametrize("body", [SIZED, CHUNKED, b"content-length: 0\r\n\r\n", b"\r\n"])
@pytest.mark.parametrize("offer", OFFERS)
def test_the_request_is_served_as_if_nothing_was_offered(
    served: Served, offer: bytes, body: bytes, packet_bytes: int, caplog: pytest.LogCaptureFixture
) -> None:
    request = b"POST /echo HTTP/1.1\r\nhost: x\r\n" + offer + body
    with served.connect() as connection:
        for _ in range(2):
            for start in range(0, len(request), packet_bytes):
                connection.sendall(request[start : start + packet_bytes])
            status, headers, answered = read_answer(connection)
            assert status == 200
            assert "upgrade" not in headers
            assert json.loads(answered)["body"] == ("hello" if b"llo" in body else "")
    assert not served.faults
    assert not caplog.records


def test_requests_behind_it_are_served_too(served: Served) -> None:
    offering = b"POST /echo HTTP/1.1\r\nhost: x\r\n" + OFFERS[0] + SIZED
    with served.connect() as connection:
        connection.sendall(offering + offering)
        for _ in range(2):
            assert json.loads(read_answer(connection)[2])["body"] == "hello"


def test_a_body_of_several_megabytes_is_whole(served: Served) -> None:
    body = b"b" * 3_000_000
    with served.connect() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\n" + OFFERS[0] + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert json.loads(read_answer(connection)[2])["size"] == len(body)


def test_a_body_that_breaks_off_is_refused_as_ever(served: Served) -> None:
    answer = served.ask(b"POST /echo HTTP/1.1\r\n" + OFFERS[0] + b"transfer-encoding: chunked\r\n\r\n5\r\nhelloX")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert error_in(answer)["code"] == "invalid_http"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
@pytest.mark.parametrize("arguments", [["--http2"], ["--http2", "-H", "transfer-encoding: chunked"], ["--http1.0"]])
def test_curl_is_served(served: Served, arguments: list[str]) -> None:
    command = ["curl", "-sS", "--fail", *arguments, "-d", "hello", f"http://127.0.0.1:{served.port}/echo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["body"] == "hello"


@pytest.mark.skipif(shutil.which("javac") is None and shutil.which("java") is None, reason="no Java is here")
def test_the_jdks_own_client_is_served(served: Served) -> None:
    # A single file runs without a compiler of its own only where the JDK is whole.
    if (
        subprocess.run(["java", "--list-modules"], capture_output=True, text=True, check=False).stdout.count("compiler")
        == 0
    ):
        pytest.skip("only Java's runtime is here")
    done = subprocess.run(
        ["java", str(JDK), f"http://127.0.0.1:{served.port}/echo"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["body"] == "hello"
