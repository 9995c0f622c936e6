"""Files that the kernel sends itself, over real sockets: whole, in order, past callers that do not read."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from app.server.http import file_sending
from app.server.http.bounds import Bounds, Fault
from tests.server.served import BIG, Served, read_all, read_answer
from tests.servers import wait_until

CONTENT = os.urandom(1_000_000) * 12
ASK = b"GET /file HTTP/1.1\r\nhost: x\r\n\r\n"
STUCK = 20  # more than there are threads


class WithFile(Served):
    """Answers /file with the file in two parts. `errors`: what sending a part ended with."""

    def __init__(self, path: Path, bounds: Bounds | None = None) -> None:
        super().__init__(bounds)
        self.path = path
        self.began_parts = threading.Semaphore(0)
        self.errors: list[OSError] = []
        self.ended = 0

    async def _file(self, scope: Scope, _receive: Receive, send: Send) -> None:
        assert "http.response.zerocopysend" in scope["extensions"]
        length = str(len(CONTENT)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        half = len(CONTENT) // 2
        try:
            with self.path.open("rb") as file:
                for offset in (0, half):
                    self.began_parts.release()
                    await send(part(file.fileno(), offset, half))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except OSError as error:
            self.errors.append(error)
        finally:
            self.ended += 1


def part(file: int, offset: int, count: int) -> dict[str, Any]:
    return {"type": "http.response.zerocopysend", "file": file, "offset": offset, "count": count, "more_body": True}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(CONTENT)
    return made


@pytest.fixture
def served(path: Path) -> Iterator[WithFile]:
    with WithFile(path) as made:
        yield made


def unread(served: WithFile) -> socket.socket:
    """A caller that asks, and reads nothing; the file is on its way."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", served.port))
    connection.sendall(ASK)
    assert served.began_parts.acquire(timeout=10)
    return connection


def test_files_and_other_answers_of_one_connection_keep_their_order(served: WithFile) -> None:
    with served.connect() as connection:
        for _ in range(3):
            connection.sendall(ASK)
            assert read_answer(connection)[2] == CONTENT
            connection.sendall(b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n")
            assert b'"method":"GET"' in read_answer(connection)[2]


def test_a_head_that_waits_for_its_caller_is_sent_before_its_file(served: WithFile) -> None:
    with served.connect() as connection:
        last = ASK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        connection.sendall(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n" + last)
        received = b""
        while not served.began_parts.acquire(blocking=False):  # the end of /big waits in front of it
            received += connection.recv(65_536)
        received += read_all(connection)
    big = (b"186a0\r\n" + b"b" * 100_000 + b"\r\n") * (BIG // 100_000) + b"0\r\n\r\n"
    head, _, rest = received[received.index(big) + len(big) :].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest == CONTENT


def test_http_1_0_gets_it_whole(served: WithFile) -> None:
    assert served.ask(b"GET /file HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n" + CONTENT)


def test_callers_that_do_not_read_hold_up_nobody(served: WithFile) -> None:
    with ExitStack() as stack:
        stuck = [stack.enter_context(unread(served)) for _ in range(STUCK)]
        with served.connect() as connection:
            connection.sendall(ASK)
            assert read_answer(connection)[2] == CONTENT
        assert read_answer(stuck[0])[2] == CONTENT  # late, and whole


async def test_a_caller_that_reads_a_little_at_a_time_keeps_no_thread(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, path.open("rb") as file:
        ours.setblocking(False)
        asked = 0

        def sendfile(out: int, source: int, offset: int, count: int) -> int:
            nonlocal asked
            asked += 1
            if asked % 2:  # it has always room again at once, for a byte
                raise BlockingIOError
            return real(out, source, offset, min(count, 1))

        real = os.sendfile
        monkeypatch.setattr(os, "sendfile", sendfile)
        assert 0 < await file_sending.FileSender().send_some(ours.fileno(), file.fileno(), 0, len(CONTENT)) < 100


def test_a_caller_that_leaves_is_noticed_and_nothing_stays_open(served: WithFile) -> None:
    before = descriptors()
    for _ in range(STUCK):
        unread(served).close()
    wait_until(lambda: served.ended == STUCK, "all are given up")
    assert all(isinstance(error, ConnectionError) for error in served.errors)
    assert len(served.errors) == STUCK
    wait_until(lambda: descriptors() == before, "every descriptor is closed")


def test_a_caller_that_takes_nothing_for_too_long_is_ended(path: Path) -> None:
    with WithFile(path, Bounds(stall_seconds=0.4)) as served, unread(served):
        wait_until(lambda: served.ended == 1, "it is given up")
        assert served.faults == {Fault.ANSWER_STALLED: 1}
        assert isinstance(served.errors[0], ConnectionError)


def test_a_file_that_became_shorter_breaks_the_answer_off(served: WithFile, path: Path) -> None:
    os.truncate(path, len(CONTENT) - 10)
    with served.connect() as connection:
        connection.sendall(ASK)
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(CONTENT) in head
    assert body == CONTENT[:-10]
    assert [str(error) for error in served.errors] == ["The file is shorter than it was."]


async def test_who_waits_for_a_thread_holds_no_descriptors(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, begun = threading.Event(), threading.Semaphore(0)

    def send_some(_connection: int, _file: int, _offset: int, count: int) -> int:
        begun.release()
        assert go_on.wait(20)
        return count

    monkeypatch.setattr(file_sending, "_send_some", send_some)
    sender, (near, far) = file_sending.FileSender(), socket.socketpair()
    with near, far, path.open("rb") as file:
        before = descriptors()
        callers = [sender.send_some(near.fileno(), file.fileno(), 0, 9) for _ in range(100)]
        tasks = asyncio.gather(*callers)
        for _ in range(8):
            await asyncio.to_thread(begun.acquire)
        assert descriptors() - before <= 2 * 8
        go_on.set()
        assert await tasks == [9] * 100
        assert descriptors() == before
