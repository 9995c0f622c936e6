"""Uploads pass through the disk and not through memory: many at a time, slow and fast, to an upstream that takes its
time; and nothing of them stays, whoever leaves and however the gateway ends."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.sandbox.server import SandboxServer
from tests.image_files import image_file, large_image
from tests.servers import GatewayProcess, Key, wait_until

IMAGE = large_image(45_000_000)
UPLOADS = 20
GROWTH_BYTES_MAX = 30_000_000
_ANSWER = (
    b'{"created":1,"data":[{"b64_json":"eA=="}],"usage":{"input_tokens":1530,"output_tokens":196,"total_tokens":1726}}'
)


class SlowUpstream:
    """Takes bodies at its leisure, and answers with an image once it has one whole."""

    def __init__(self, pause_seconds: float) -> None:
        self._pause_seconds = pause_seconds
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/api/v1"
        self.received: list[int] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            begun = b""
            while b"\r\n\r\n" not in begun:
                begun += connection.recv(65_536) or _ended()
            head, _, body = begun.partition(b"\r\n\r\n")
            length = next(
                int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")
            )
            received, buffer = len(body), bytearray(1_048_576)
            while received < length:
                time.sleep(self._pause_seconds)
                received += connection.recv_into(buffer) or len(_ended())
            self.received.append(received)
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
            connection.sendall(head + b"content-length: %d\r\n\r\n" % len(_ANSWER) + _ANSWER)


def _ended() -> bytes:
    raise ValueError("the connection ended")


@pytest.fixture
def upstream() -> Iterator[SlowUpstream]:
    upstream = SlowUpstream(0.001)
    yield upstream
    upstream.close()


def begin(gateway: GatewayProcess, key: Key, images: list[bytes]) -> tuple[socket.socket, list[bytes]]:
    """A connection over which the head of an edit went, and the parts of its form."""
    fields = {"model": "gpt-image-2", "prompt": "Snow", "size": "1024x1024", "quality": "low"}
    parts = [
        *(b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value.encode())
          for name, value in fields.items()),
        *(part for image in images for part in (
            b'--x\r\nContent-Disposition: form-data; name="image[]"; filename="a"\r\n\r\n', image, b"\r\n")),
        b"--x--\r\n",
    ]  # fmt: skip
    head = (
        f"POST /v1/images/edits HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key.text}\r\nconnection: close\r\n"
        f"content-type: multipart/form-data; boundary=x\r\ncontent-length: {sum(map(len, parts))}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=120)
    connection.sendall(head.encode())
    return connection, parts


def upload(gateway: GatewayProcess, key: Key, pause_seconds: float, images: int, answers: list[bytes]) -> None:
    connection, parts = begin(gateway, key, [IMAGE] * images)
    with connection:
        for part in parts:
            for start in range(0, len(part), 1_048_576):
                connection.sendall(part[start : start + 1_048_576])
                time.sleep(pause_seconds)
        answer = b""
        while received := connection.recv(65_536):
            answer += received
    answers.append(answer)


def deleted_bytes(process: psutil.Process) -> int:
    """On the disk, in files that have no name any more but are open."""
    total = 0
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if "uploads" in str(link.readlink()):
                total += link.stat().st_size
    return total


@pytest.mark.long("a gigabyte is uploaded")
def test_no_upload_is_held_in_memory(tmp_path: Path, upstream: SlowUpstream) -> None:
    settings = {"GATEWAY_UPLOAD_BYTES_MAX": "800000000", "GATEWAY_USER_IN_FLIGHT_PERCENT": "100"}
    with GatewayProcess(tmp_path / "data", upstream.url, **settings) as gateway:
        key, answers = gateway.store.key(), list[bytes]()
        upload(gateway, key, 0, 1, answers)  # what is loaded once
        process = psutil.Process(gateway.process.pid)
        before = most = process.memory_info().rss
        most_on_disk = 0
        uploads = [
            threading.Thread(
                target=upload, args=(gateway, key, 0.05 if number % 2 else 0, 1 if number else 16, answers)
            )
            for number in range(UPLOADS)
        ]
        for each in uploads:
            each.start()
        while any(each.is_alive() for each in uploads):
            most, most_on_disk = max(most, process.memory_info().rss), max(most_on_disk, deleted_bytes(process))
            time.sleep(0.02)
        assert [answer.split(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * (UPLOADS + 1)
        assert len(upstream.received) == UPLOADS + 1
        assert most_on_disk > len(IMAGE)
        assert most - before < GROWTH_BYTES_MAX, f"{(most - before) / 1e6:.1f} MB"
        wait_until(lambda: deleted_bytes(process) == 0, "the disk is free again")
        assert list((tmp_path / "data" / "uploads").iterdir()) == []
        assert len(gateway.store.settled(UPLOADS + 1)) == UPLOADS + 1


def test_nothing_stays_of_who_leaves(tmp_path: Path) -> None:
    with SandboxServer() as sandbox, GatewayProcess(tmp_path / "data", sandbox.url) as gateway:
        connection, parts = begin(gateway, gateway.store.key(), [IMAGE])
        process = psutil.Process(gateway.process.pid)
        connection.sendall(b"".join(parts)[:20_000_000])
        wait_until(lambda: deleted_bytes(process) > 10_000_000, "some of it is on the disk")
        connection.close()
        wait_until(lambda: deleted_bytes(process) == 0, "the disk is free again")
        assert gateway.store.rows() == []


@pytest.mark.parametrize("how", ["kill", pytest.param("terminate", marks=pytest.mark.long("every run kills it"))])
def test_nothing_stays_of_a_gateway_that_ends(tmp_path: Path, how: str) -> None:
    with SandboxServer() as sandbox:
        with GatewayProcess(tmp_path / "data", sandbox.url, GATEWAY_SHUTDOWN_SECONDS="1") as gateway:
            connection, parts = begin(gateway, gateway.store.key(), [IMAGE])
            process = psutil.Process(gateway.process.pid)
            connection.sendall(b"".join(parts)[:20_000_000])
            wait_until(lambda: deleted_bytes(process) > 10_000_000, "some of it is on the disk")
            (tmp_path / "data" / "uploads" / "tmpleft").write_bytes(image_file())  # where files cannot be without names
            getattr(gateway, how)()
            gateway.process.wait(60)
            connection.close()
        with GatewayProcess(tmp_path / "data", sandbox.url) as gateway:
            assert list((tmp_path / "data" / "uploads").iterdir()) == []
            assert gateway.store.rows() == []
