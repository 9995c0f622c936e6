"""A gateway that may open few files: it takes as many requests as fit, and refuses the others in words."""

import asyncio
import json
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.image_files import image_file
from tests.raw_upstream import RawRequest, RawUpstream, document
from tests.server.served import error_in, read_all
from tests.servers import GatewayProcess, Key, read_metric, wait_until

ANSWER = {
    "created": 1,
    "data": [{"b64_json": "aGk="}],
    "usage": {"input_tokens": 10, "output_tokens": 196, "total_tokens": 206},
}


@contextmanager
def gateway_of(folder: Path, upstream_url: str, descriptors: int, **more: str) -> Iterator[GatewayProcess]:
    settings = {"FEW_DESCRIPTORS": str(descriptors), **more}
    with GatewayProcess(folder / "data", upstream_url, module="tests.e2e.few_descriptors", **settings) as gateway:
        assert resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE) == (descriptors, descriptors)
        yield gateway
        assert "Too many open files" not in gateway.log()


@contextmanager
def holding_upstream() -> Iterator[tuple[RawUpstream, asyncio.Event]]:
    """One that answers nobody before the event is set."""
    let_go = asyncio.Event()

    async def answer(_: RawRequest, writer: Any) -> None:
        await let_go.wait()
        writer.write(document(json.dumps(ANSWER).encode()))

    with RawUpstream(answer) as upstream:
        yield upstream, let_go


def begin_edit(gateway: GatewayProcess, key: Key) -> socket.socket:
    fields = {"model": "gpt-image-2", "prompt": "a hat", "size": "1024x1024", "quality": "low"}
    parts = [f'content-disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    parts.append(b'content-disposition: form-data; name="image"; filename="a.png"\r\ncontent-type: image/png\r\n\r\n')
    parts[-1] += image_file()
    body = b"".join(b"--edge\r\n" + part + b"\r\n" for part in parts) + b"--edge--\r\n"
    head = (
        f"POST /v1/images/edits HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key.text}\r\nconnection: close\r\n"
        f"content-type: multipart/form-data; boundary=edge\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=60)
    connection.sendall(head.encode() + body)
    return connection


@pytest.mark.parametrize(
    ("descriptors", "fitting", "edits"), [(256, 40, True), (1024, 232, False)], ids=["256, edits", "1024, generations"]
)
def test_as_many_requests_run_as_the_descriptors_allow(
    tmp_path: Path, descriptors: int, fitting: int, *, edits: bool
) -> None:
    with (
        holding_upstream() as (upstream, let_go),
        gateway_of(tmp_path, upstream.url, descriptors) as gateway,
        ExitStack() as stack,
    ):
        key = gateway.store.key()

        def begin() -> socket.socket:
            return stack.enter_context(begin_edit(gateway, key) if edits else gateway.begin(key, "a hat"))

        running = [begin() for _ in range(fitting)]
        wait_until(lambda: len(upstream.requests) == fitting, "all that fit are at ZenMux")
        refused = [read_all(begin()) for _ in range(10)]
        assert {answer.split(b" ", 2)[1] for answer in refused} == {b"503"}
        assert {error_in(answer)["code"] for answer in refused} == {"server_is_overloaded"}
        upstream.call(let_go.set)
        assert {read_all(connection).split(b" ", 2)[1] for connection in running} == {b"200"}
        assert len(upstream.requests) == fitting
        assert read_metric(gateway.root, "zenmux_gateway_connection_faults_total", kind="no_descriptors") == 0


def test_where_a_chosen_number_does_not_fit_connections_are_refused_in_words_and_counted(tmp_path: Path) -> None:
    chosen = {"GATEWAY_REQUESTS_IN_FLIGHT_MAX": "1000"}
    with gateway_of(tmp_path, "http://127.0.0.1:9/v1", 256, **chosen) as gateway:
        assert "GATEWAY_REQUESTS_IN_FLIGHT_MAX" in gateway.log()
        refused: list[bytes] = []
        with ExitStack() as stack:
            for _ in range(200):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=20))
                connection.sendall(b"GET /healthz HTTP/1.1\r\n")
                connection.settimeout(0.02)
                try:
                    refused.append(read_all(connection))
                except TimeoutError:
                    continue
                except ConnectionResetError:
                    refused.append(b"")
        assert len(refused) >= 100
        # Where a caller sends while it is refused, the answer may be lost to the reset.
        told = [answer for answer in refused if answer]
        assert len(told) > len(refused) / 2
        assert {error_in(answer)["code"] for answer in told} == {"server_is_overloaded"}
        wait_until(gateway.is_ready, "it serves again")
        assert read_metric(gateway.root, "zenmux_gateway_connection_faults_total", kind="too_many") >= len(refused)
        assert read_metric(gateway.root, "zenmux_gateway_connection_faults_total", kind="no_descriptors") == 0
        assert "connections_refused" in gateway.log()


def ask_health(connection: socket.socket) -> None:
    connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n")
    answer = b""
    while not answer.endswith(b'"ok"}'):
        answer += connection.recv(65_536) or pytest.fail("it closed the connection")


def test_a_process_that_has_run_out_of_descriptors_says_so_and_serves_again(tmp_path: Path) -> None:
    """Of its own accord it takes no more than it has; the machine, or something that leaks, may leave it without."""
    with GatewayProcess(tmp_path / "data", "http://127.0.0.1:9/v1") as gateway, ExitStack() as stack:
        pid, limit = gateway.process.pid, resource.RLIMIT_NOFILE
        before = resource.prlimit(pid, limit)
        kept = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=20))
        ask_health(kept)
        resource.prlimit(pid, limit, (3, before[1]))
        lost = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=20))
        lost.sendall(b"GET /healthz HTTP/1.1\r\n")
        wait_until(lambda: "no_descriptors" in gateway.log(), "the log says so")
        ask_health(kept)
        resource.prlimit(pid, limit, before)
        wait_until(gateway.is_ready, "it serves again")
        assert read_metric(gateway.root, "zenmux_gateway_connection_faults_total", kind="no_descriptors") >= 1
        line = next(json.loads(line) for line in gateway.log().splitlines() if "no_descriptors" in line)
        assert (line["level"], line["event"]) == ("warning", "connections_refused")
        assert line["no_descriptors"] >= 1
