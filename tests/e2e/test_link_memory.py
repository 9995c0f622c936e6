"""Images that become links pass through the disk and not through memory: one of 30 MB, and a hundred at once; and so
when they are read."""

import base64
import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import httpx2
import psutil
import pytest

from tests.servers import GatewayProcess, Key

IMAGE = b"\x89PNG\r\n\x1a\n" + os.urandom(22_500_000)  # 30 MB as base64
MANY = 100
ONE_GROWTH_BYTES_MAX = 2_000_000
MANY_GROWTH_BYTES_MAX = 60_000_000
_USAGE = b'{"input_tokens":18,"output_tokens":196,"total_tokens":214}'
_BODY = {"model": "gpt-image-2", "prompt": "a", "size": "1024x1024", "quality": "low", "response_format": "url"}


class LargeUpstream:
    """Answers every request with the one large image, without holding copies of it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/api/v1"
        body = b'{"created":1,"data":[{"b64_json":"' + base64.b64encode(IMAGE) + b'"}],"usage":' + _USAGE + b"}"
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        self._answer = head % len(body) + body
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(65_536)
            connection.sendall(self._answer)


@pytest.fixture
def upstream() -> Iterator[LargeUpstream]:
    upstream = LargeUpstream()
    yield upstream
    upstream.close()


class Peak:
    """The most memory that a process had while this ran, beyond what it had before."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._process = psutil.Process(gateway.process.pid)
        self._ended = threading.Event()
        self.growth = 0

    def __enter__(self) -> Self:
        self._before = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.is_set():
            self.growth = max(self.growth, self._process.memory_info().rss - self._before)
            time.sleep(0.005)


def ask(gateway: GatewayProcess, key: Key) -> str:
    headers = {"authorization": f"Bearer {key.text}"}
    answer = httpx2.post(f"{gateway.url}/images/generations", json=_BODY, headers=headers, timeout=300)
    assert answer.is_success, answer.text
    link: str = answer.json()["data"][0]["url"]
    return link


def read(link: str) -> int:
    with httpx2.stream("GET", link, timeout=300) as answer:
        return sum(len(chunk) for chunk in answer.iter_raw())


def test_a_large_image_is_not_held_in_memory(tmp_path: Path, upstream: LargeUpstream) -> None:
    with GatewayProcess(tmp_path / "data", upstream.url) as gateway:
        key = gateway.store.key()
        for _ in range(3):  # what is loaded, and made, once
            assert read(ask(gateway, key)) == len(IMAGE)
        with Peak(gateway) as asking:
            link = ask(gateway, key)
        with Peak(gateway) as reading:
            assert read(link) == len(IMAGE)
        assert asking.growth < ONE_GROWTH_BYTES_MAX, f"{asking.growth / 1e6:.1f} MB"
        assert reading.growth < ONE_GROWTH_BYTES_MAX, f"{reading.growth / 1e6:.1f} MB"
        assert httpx2.get(link).content == IMAGE


@pytest.mark.long("a hundred images of 30 MB")
def test_a_hundred_large_images_at_once(tmp_path: Path, upstream: LargeUpstream) -> None:
    with GatewayProcess(tmp_path / "data", upstream.url, GATEWAY_FILES_BYTES_MAX="10000000000") as gateway:
        key = gateway.store.key()
        read(ask(gateway, key))
        with Peak(gateway) as asking, ThreadPoolExecutor(MANY) as threads:
            links = list(threads.map(lambda _: ask(gateway, key), range(MANY)))
        with Peak(gateway) as reading, ThreadPoolExecutor(MANY) as threads:
            assert set(threads.map(read, links)) == {len(IMAGE)}
        assert len(set(links)) == MANY
        assert asking.growth < MANY_GROWTH_BYTES_MAX, f"{asking.growth / 1e6:.1f} MB"
        assert reading.growth < MANY_GROWTH_BYTES_MAX, f"{reading.growth / 1e6:.1f} MB"
        assert len(gateway.store.settled(MANY + 1)) == MANY + 1
