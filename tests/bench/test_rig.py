"""The C programs: answers of the right form and length, and a load that counts what it gets. Nothing is timed."""

import http.client
import json
import os
import shutil
import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.__main__ import OPEN_FILES
from bench.contenders import Running
from bench.processes import BenchError, Cores, allow_open_files, choose_cores
from bench.requests import Request, document
from bench.rig import Job, Rig
from bench.scenarios import HUGE, SMALL, STREAM, STREAM_GAPS, UPLOAD_HUGE, UPLOAD_SMALL, Scenario

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("cc", "openssl", "taskset"))), reason="needs a C compiler, openssl and taskset"
)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    core = min(os.sched_getaffinity(0))
    with Rig(tmp_path_factory.mktemp("rig"), Cores(core, core)) as made:
        yield made


def request(asked: Request) -> bytes:
    return Running(0).encoded(asked)


def test_two_cores_are_needed() -> None:
    assert choose_cores([2, 5, 7]) == Cores(contender=2, rig=5)
    with pytest.raises(BenchError, match="two cores"):
        choose_cores([3])


def test_json_answers_have_the_length_and_the_images_asked_for(rig: Rig) -> None:
    direct = Running(rig.port)
    for scenario, length in ((SMALL, 2_000), (HUGE, 30_000_000)):
        status, body = direct.ask(scenario.request("gpt-image-2"))
        answer = json.loads(body)
        assert (status, len(body), len(answer["data"])) == (200, length, scenario.images)
        assert answer["usage"]["total_tokens"] == 196 * scenario.images + 10
        assert all(len(image["b64_json"]) % 4 == 0 for image in answer["data"])


def test_streams_have_three_partial_images_and_a_completed_one(rig: Rig) -> None:
    _, body = Running(rig.port).ask(STREAM.request("gpt-image-2"))
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: ")]
    assert [event["type"].rpartition(".")[2] for event in events] == [*["partial_image"] * 3, "completed"]
    assert [len(event["b64_json"]) for event in events] == [*[1_500_000] * 3, 2_000_000]
    assert events[-1]["usage"]["output_tokens"] == 496


def test_tls_gives_the_same_bytes(rig: Rig) -> None:
    asked = HUGE.request("gpt-image-2")
    url = f"https://127.0.0.1:{rig.tls_port}{asked.path}"
    trust = ssl.create_default_context(cafile=str(rig.certificate))
    with urllib.request.urlopen(url, asked.body, context=trust, timeout=30) as answer:
        assert answer.read() == Running(rig.port).ask(asked)[1]


def test_the_load_sends_large_uploads_whole(rig: Rig) -> None:
    asked = UPLOAD_HUGE.request("m")
    answers = rig.put_load(rig.port, Job(request(asked), 2, 30, each=2, payload_bytes=2_000))
    assert (answers.good, answers.bad) == (4, 0)
    with answering_forms(len(asked.body)) as port:
        answers = rig.put_load(port, Job(request(asked), 1, 30, each=1, payload_bytes=2))
    assert (answers.good, answers.first_bad) == (1, "")


def test_an_upload_that_is_refused_is_told(rig: Rig) -> None:
    with answering(b"HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\n") as port:
        answers = rig.put_load(port, Job(request(UPLOAD_HUGE.request("m")), 1, 30, each=1))
    assert (answers.good, answers.bad) == (0, 1)


def test_uploads_over_tls_are_read_to_their_end(rig: Rig) -> None:
    asked = UPLOAD_SMALL.request("m")
    trust = ssl.create_default_context(cafile=str(rig.certificate))
    connection = http.client.HTTPSConnection("127.0.0.1", rig.tls_port, timeout=30, context=trust)
    for _ in range(2):  # on one connection: what is left of the first would spoil the second
        connection.request(asked.method, asked.path, asked.body, dict(asked.headers))
        answer = connection.getresponse()
        assert (answer.status, len(answer.read())) == (200, 2_000)
    connection.close()


def test_users_take_turns_at_the_connections(rig: Rig) -> None:
    running = Running(0, {"authorization": "Bearer a"}, others=({"authorization": "Bearer b"},))
    both = running.encoded(SMALL.request("m"))
    for asked in (both, running.encoded(UPLOAD_SMALL.request("m"))):
        answers = rig.put_load(rig.port, Job(asked, 4, 30, each=2, payload_bytes=2_000, users=running.users))
        assert (answers.good, answers.bad) == (8, 0)
    with hearing() as (port, heard):
        rig.put_load(port, Job(both, 2, 30, each=1, users=2))
    assert sorted(heard) == [b"authorization: Bearer a", b"authorization: Bearer b"]


def test_the_byte_after_a_pause_is_timed_from_the_pauses_end(rig: Rig) -> None:
    answers = rig.put_load(rig.port, Job(request(STREAM_GAPS.request("m")), 1, 30, each=2))
    assert (answers.good, len(answers.after_silence_ms)) == (2, 2)
    assert all(waited > 0 for waited in answers.after_silence_ms)
    assert all(waited < total for waited, total in zip(answers.after_silence_ms, answers.latency_ms, strict=True))
    answers = rig.put_load(rig.port, Job(request(STREAM.request("m")), 1, 30, each=1))
    assert len(answers.after_silence_ms) == 1


def test_thousands_wait_at_the_same_time(rig: Rig) -> None:
    """As many as this process may have files; each waits long enough that all are there before the first answer."""
    allow_open_files(OPEN_FILES)
    waiting = Scenario("", "2KB delay=1500", 2000)
    answers = rig.put_load(rig.port, Job(request(waiting.request("m")), waiting.connections, 30, each=1))
    assert (answers.good, answers.bad) == (waiting.connections, 0)
    assert min(answers.latency_ms) >= 1499


def test_the_load_counts_good_answers(rig: Rig) -> None:
    answers = rig.put_load(rig.port, Job(request(SMALL.request("m")), 3, 30, each=5, payload_bytes=2_000))
    assert (answers.good, answers.bad, answers.begun, answers.payload_bytes) == (15, 0, 15, 30_000)
    assert len(answers.latency_ms) == len(answers.first_byte_ms) == 15
    assert all(0 < first <= last for first, last in zip(answers.first_byte_ms, answers.latency_ms, strict=True))


def test_the_load_follows_chunked_framing_to_the_first_event(rig: Rig) -> None:
    length = len(Running(rig.port).ask(STREAM.request("m"))[1])
    job = Job(request(STREAM.request("m")), 2, 30, each=2, first_event_bytes=1_500_000, payload_bytes=length)
    answers = rig.put_load(rig.port, job)
    assert (answers.good, answers.bad) == (4, 0)
    assert all(0 < first < last for first, last in zip(answers.first_event_ms, answers.latency_ms, strict=True))


def test_slow_readers_take_no_more_than_their_share_and_are_broken_off(rig: Rig) -> None:
    answers = rig.put_load(rig.port, Job(request(HUGE.request("m")), 4, 0.3, each=1, rate=1_000_000))
    assert (answers.good, answers.bad, answers.begun) == (0, 0, 4)
    assert 0 < answers.payload_bytes < 4 * 1_000_000


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", "a wrong length after 3 bytes"),
        (b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", "no good answer after 0 bytes: HTTP/1.1 500 No"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabcd", "the connection ended after 4 bytes"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n", "the connection ended after 4 bytes"),
    ],
)
def test_bad_answers_are_counted_and_told(rig: Rig, answer: bytes, why: str) -> None:
    with answering(answer) as port:
        answers = rig.put_load(port, Job(request(document({})), 1, 30, each=1, payload_bytes=4))
    assert (answers.good, answers.bad) == (0, 1)
    assert answers.first_bad.startswith(why)


def test_chunks_of_any_size_are_counted_without_their_framing(rig: Rig) -> None:
    sizes = (1, 2, 15, 16, 17, 4_096, 16_384, 16_385, 70_000, 1, 3)
    chunks = b"".join(b"%x\r\n%s\r\n" % (size, b"x" * size) for size in sizes)
    with answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n") as port:
        answers = rig.put_load(port, Job(request(document({})), 1, 30, each=1, payload_bytes=sum(sizes)))
    assert (answers.good, answers.bad, answers.payload_bytes) == (1, 0, sum(sizes))


class answering:  # noqa: N801 - reads as a verb
    """A server that answers every connection's first request with these bytes, and closes it."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> int:
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return int(self._listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                if connection.recv(65536):
                    connection.sendall(self._answer)


class answering_forms(answering):  # noqa: N801 - as above
    """Answers a request whose body is a whole form of that length, and no other."""

    def __init__(self, length: int) -> None:
        super().__init__(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        self._length = length

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as stream:
            while stream.readline() != b"\r\n":
                pass
            if stream.read(self._length).endswith(b"--\r\n"):
                connection.sendall(self._answer)


@contextmanager
def hearing() -> Iterator[tuple[int, list[bytes]]]:
    """Answers two connections, and keeps the line with which each says who it is."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    lines = connection.recv(65536).split(b"\r\n")
                    heard.extend(line for line in lines if line.startswith(b"authorization"))
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], heard
        thread.join()
