"""What callers may send and hold, over real sockets: heads, bodies, trailers, pipelines, deadlines, stalls."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from app.server.http.bounds import Bounds, Fault
from tests.server.served import BIG, Served, error_in, read_all, read_answer
from tests.servers import wait_until

GET = b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n"
CLOSING = b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
QUICK = Bounds(
    head_seconds=0.4,
    body_idle_seconds=0.4,
    body_seconds_max=2,
    stall_seconds=0.6,
    idle_seconds=5,
    connections_max=16,
)


@pytest.fixture
def served() -> Iterator[Served]:
    with Served() as server:
        yield server


@pytest.fixture
def quick() -> Iterator[Served]:
    with Served(QUICK) as server:
        yield server


@pytest.mark.parametrize("count", [1, 2, 40_000])
def test_pieces_of_a_body_that_come_at_once_arrive_in_order(served: Served, count: int) -> None:
    pieces = b"".join(b"2\r\n%02d\r\n" % (number % 100) for number in range(count))
    with served.connect() as connection:
        connection.sendall(CHUNKED + pieces + b"0\r\n\r\n")
        answer = json.loads(read_answer(connection)[2])
    assert answer["size"] == 2 * count
    assert answer["body"] == "".join(f"{number % 100:02d}" for number in range(count))[:1000]


@pytest.mark.parametrize(
    ("packet", "status", "code", "fault"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "invalid_http", Fault.MALFORMED),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "invalid_http", Fault.MALFORMED),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "invalid_http", Fault.MALFORMED),
        (b"CONNECT /echo HTTP/1.1\r\nhost: x\r\n\r\n", 400, "invalid_http", Fault.MALFORMED),
        (b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n", 400, "invalid_http", Fault.MALFORMED),
        (b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n", 400, "invalid_http", Fault.MALFORMED),
        (CHUNKED + b"zz\r\n", 400, "invalid_http", Fault.MALFORMED),
        (CHUNKED[:-2] + b"content-length: 5\r\n\r\nhello", 400, "invalid_http", Fault.MALFORMED),
        (b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 201 + b"\r\n", 431, "headers_too_large", Fault.HEAD_TOO_LARGE),
        (b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 10_000, 431, "headers_too_large", Fault.HEAD_TOO_LARGE),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 65_536 + b"\r\n\r\n", 431, "headers_too_large", Fault.HEAD_TOO_LARGE),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 500_000, 431, "headers_too_large", Fault.HEAD_TOO_LARGE),
        (b"GET /" + b"b" * 500_000, 431, "headers_too_large", Fault.HEAD_TOO_LARGE),
        (CHUNKED + b"0\r\n" + b"a:b\r\n" * 202, 400, "invalid_http", Fault.TRAILERS_TOO_LARGE),
        (CHUNKED + b"0\r\na: " + b"b" * 500_000, 400, "invalid_http", Fault.TRAILERS_TOO_LARGE),
        (CHUNKED + b"5;" + b"b" * 500_000, 400, "invalid_http", Fault.TRAILERS_TOO_LARGE),
    ],
)
def test_what_is_out_of_bounds_is_refused_in_openais_envelope(
    served: Served, packet: bytes, status: int, code: str, fault: Fault
) -> None:
    with served.connect() as connection:
        with suppress(OSError):
            connection.sendall(packet)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert error_in(answer)["code"] == code
    assert served.faults == {fault: 1}


def test_trailers_are_read_past(served: Served) -> None:
    trailers = b"0\r\nauthorization: Bearer sk\r\nx-other: 1\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(CHUNKED + b"5\r\nhello\r\n")
        for position in range(len(trailers)):
            connection.sendall(trailers[position : position + 1])
        _, _, body = read_answer(connection)
        connection.sendall(CLOSING)
        assert read_answer(connection)[0] == 200
    told = json.loads(body)
    assert told["body"] == "hello"
    assert [name for name, _ in told["headers"]] == ["host", "transfer-encoding"]


def test_a_head_may_be_as_large_as_the_bound_in_one_packet_or_many(served: Served) -> None:
    head = b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + b"a: %s\r\n" % (b"b" * 60_000) + b"\r\n"
    assert served.ask(head).startswith(b"HTTP/1.1 200")
    assert served.ask(*(head[start : start + 1000] for start in range(0, len(head), 1000))).startswith(b"HTTP/1.1 200")
    most = b"GET /echo HTTP/1.1\r\nconnection: close\r\n" + b"a:\r\n" * 199 + b"\r\n"
    assert served.ask(most).startswith(b"HTTP/1.1 200")


def test_a_body_in_a_heads_packet_is_not_counted_as_head(served: Served) -> None:
    body = b"b" * 300_000
    post = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    with served.connect() as connection:
        for _ in range(3):
            # The next head begins in the packet in which the body ends, and goes on behind it.
            connection.sendall(post + body + GET[:10])
            assert json.loads(read_answer(connection)[2])["size"] == len(body)
            connection.sendall(GET[10:])
            assert read_answer(connection)[0] == 200
    assert not served.faults


def test_one_pipelined_request_is_answered_and_the_connection_ends(served: Served) -> None:
    answers = served.ask(GET * 2000)
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert len(served.paths) == 2
    assert not served.faults


def test_one_pipelined_request_may_follow_another_for_ever(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(GET)
        for _ in range(100):
            connection.sendall(GET)
            assert read_answer(connection)[0] == 200


@pytest.mark.parametrize("behind", [b"\x00garbage", GET + b"\x00garbage", GET * 500, CHUNKED + b"zz\r\n"])
def test_what_stands_behind_a_request_does_not_take_its_answer(served: Served, behind: bytes) -> None:
    with served.connect() as connection:
        connection.sendall(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n" + behind)
        assert served.began.wait(10)
        served.let_go()
        assert read_answer(connection)[2] == b'{"held":true}'
        for answer in read_all(connection).split(b"HTTP/1.1 ")[1:]:
            assert answer.startswith(b"200")


@pytest.mark.parametrize("behind", [b"", GET, GET * 3, GET[:10], b"\x00garbage"])
def test_a_caller_that_leaves_is_told_to_the_request_that_runs(served: Served, behind: bytes) -> None:
    with served.connect() as connection:
        connection.sendall(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n" + behind)
        assert served.began.wait(10)
    assert served.left.wait(10)


def test_an_app_that_does_not_answer_is_a_fault_in_openais_envelope(served: Served) -> None:
    answer = served.ask(b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert error_in(answer)["code"] == "internal_error"


@pytest.mark.parametrize("framing", [b"content-length: %d" % 900_000_000, b"transfer-encoding: chunked"])
def test_a_long_body_behind_its_answer_is_not_read(served: Served, framing: bytes) -> None:
    """Some of it is dropped, so that who reads only after sending has the answer."""
    piece = b"%x\r\n%b\r\n" % (1_048_576, bytes(1_048_576)) if framing.startswith(b"transfer") else bytes(1_048_576)
    with served.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n" % framing)
        connection.settimeout(10)
        connection.sendall(8 * piece)
        with pytest.raises(OSError, match=r"reset|pipe"):  # not a timeout
            connection.sendall(32 * piece)  # 16 MiB are dropped, and some lies in the kernel
        assert read_all(connection).startswith(b"HTTP/1.1 401 ")


def test_a_short_body_behind_its_answer_is_read_past(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 1048576\r\n\r\n")
        assert read_answer(connection)[0] == 401
        connection.sendall(bytes(1_048_576) + GET)
        assert read_answer(connection)[0] == 200


class TestHttp10:
    def test_answers_have_no_chunks_and_end_with_the_connection(self, served: Served) -> None:
        answer = served.ask(b"GET /big HTTP/1.0\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert b"connection: close" in head
        assert body == b"b" * BIG
        assert served.ask(b"HEAD /big HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n")

    def test_answers_with_a_length_keep_it(self, served: Served) -> None:
        answer = served.ask(b"GET /echo HTTP/1.0\r\n\r\n")
        assert b"content-length: " in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["method"] == "GET"

    def test_an_answer_that_breaks_off_resets_the_connection(self, served: Served) -> None:
        with pytest.raises(ConnectionResetError):
            served.ask(b"GET /cut HTTP/1.0\r\n\r\n")


class TestTime:
    def test_a_head_that_trickles_is_ended(self, quick: Served) -> None:
        with quick.connect() as connection:
            assert error_in(trickle(connection, GET[:-2]))["code"] == "request_timeout"
        assert quick.faults == {Fault.HEAD_LATE: 1}

    def test_empty_lines_are_a_head(self, quick: Served) -> None:
        with quick.connect() as connection:
            assert trickle(connection, b"\r\n" * 100).startswith(b"HTTP/1.1 408 ")

    def test_a_body_that_stops_is_ended(self, quick: Served) -> None:
        answer = quick.ask(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhe")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert error_in(answer)["code"] == "request_timeout"
        assert quick.faults == {Fault.BODY_IDLE: 1}
        assert quick.left.wait(10)

    def test_a_body_that_trickles_is_ended(self, quick: Served) -> None:
        with quick.connect() as connection:
            connection.sendall(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n")
            assert trickle(connection, b"b" * 100).startswith(b"HTTP/1.1 408 ")
        assert quick.faults == {Fault.BODY_SLOW: 1}

    def test_a_body_that_is_refused_already_has_no_longer_time(self, quick: Served) -> None:
        with quick.connect() as connection:
            connection.sendall(b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n")
            assert trickle(connection, b"b" * 100).count(b"HTTP/1.1 401 ") == 1
        assert quick.faults == {Fault.BODY_SLOW: 1}

    def test_a_slow_answer_is_waited_for(self, quick: Served) -> None:
        with quick.connect() as connection:
            connection.sendall(b"POST /held HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi" + GET[:10])
            assert quick.began.wait(10)
            connection.settimeout(1.5)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            quick.let_go()
            assert read_answer(connection)[2] == b'{"held":true}'
        assert not quick.faults

    @pytest.mark.parametrize("path", ["/big", "/echo"])
    def test_an_answer_that_is_not_taken_is_ended(self, quick: Served, path: str) -> None:
        body = b"b" * 1_000_000 if path == "/echo" else b""
        with quick.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            head = b"POST %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            connection.sendall(head % (path.encode(), len(body)) + body)
            if path == "/big":
                wait_until(lambda: bool(quick.faults), "the answer stalled")
                assert quick.faults == {Fault.ANSWER_STALLED: 1}
        wait_until(lambda: quick.open == 0, "the connection is gone")


class TestNumber:
    def test_too_many_connections_are_refused_and_counted(self, quick: Served) -> None:
        with ExitStack() as stack:
            connections = [stack.enter_context(quick.connect()) for _ in range(QUICK.connections_max)]
            for connection in connections:
                connection.sendall(GET[:-1])
            wait_until(lambda: quick.open == QUICK.connections_max, "all are seen")
            answer = read_all(stack.enter_context(quick.connect()))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert error_in(answer)["code"] == "server_is_overloaded"
        assert quick.faults[Fault.TOO_MANY] == 1
        wait_until(lambda: quick.open == 0, "all are gone")
        assert quick.ask(CLOSING).startswith(b"HTTP/1.1 200 ")

    def test_idle_connections_make_room_before_their_time(self) -> None:
        bounds = Bounds(head_seconds=0.4, idle_seconds=1000, connections_max=2)
        with Served(bounds) as served, served.connect() as first, served.connect() as second:
            for connection in (first, second):
                connection.sendall(GET)
                assert read_answer(connection)[0] == 200
            assert first.recv(1) == second.recv(1) == b""


def trickle(connection: socket.socket, data: bytes) -> bytes:
    """A byte at a time, until the server answers or closes."""
    connection.settimeout(0.05)
    for position in range(len(data)):
        with suppress(TimeoutError):
            if received := connection.recv(100_000):
                connection.settimeout(20)
                return received + read_rest(connection)
            return b""
        connection.sendall(data[position : position + 1])
    raise AssertionError("the server took it all")


def read_rest(connection: socket.socket) -> bytes:
    ends_at = time.monotonic() + 20
    received = b""
    with suppress(ConnectionResetError):
        while time.monotonic() < ends_at:
            with suppress(BrokenPipeError):
                connection.sendall(b"b")
            connection.settimeout(0.05)
            with suppress(TimeoutError):
                chunk = connection.recv(100_000)
                if not chunk:
                    break
                received += chunk
    return received
