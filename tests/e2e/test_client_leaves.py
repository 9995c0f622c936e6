"""Clients that leave: what they bought is read to its end, settled with the truth, and recorded as such."""

import itertools
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import orjson
import pytest

from app.sandbox.server import SandboxServer
from tests.e2e.conftest import StartGateway
from tests.servers import Key, RunningGateway, fetch_json, wait_until

BODY = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}


@contextmanager
def asking(gateway: RunningGateway, key: Key, prompt: str, *, stream: bool) -> Iterator[socket.socket]:
    """A connection over which a request was sent and nothing read; closed at the end."""
    body = orjson.dumps({**BODY, "prompt": prompt, "stream": stream, **({"partial_images": 2} if stream else {})})
    where = urlsplit(gateway.root)
    head = (
        f"POST /v1/images/generations HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key.text}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=30) as connection:
        connection.sendall(head.encode() + body)
        yield connection


def received(sandbox: SandboxServer) -> int:
    count: int = fetch_json(urljoin(sandbox.bill_url, "/healthz"))["requests_received"]
    return count


def ask_and_leave(
    gateway: RunningGateway, sandbox: SandboxServer, prompt: str, *, key: Key, after_bytes: int, stream: bool = False
) -> None:
    """Send a request, read `after_bytes` of the answer (0: nothing, but ZenMux has the request), hang up."""
    before = received(sandbox)
    with asking(gateway, key, prompt, stream=stream) as connection:
        if after_bytes == 0:
            # Not until its row says that it is sent: a client that leaves between that and the sending stops it.
            wait_until(lambda: received(sandbox) > before, "the request was sent on")
        while after_bytes > 0:
            chunk = connection.recv(min(after_bytes, 65536))
            if not chunk:
                return
            after_bytes -= len(chunk)


def test_a_client_that_leaves_while_waiting_is_charged_the_truth(
    gateway: RunningGateway, sandbox: SandboxServer
) -> None:
    key = gateway.store.key()
    ask_and_leave(gateway, sandbox, "a house [sandbox: delay=500ms]", key=key, after_bytes=0)
    [row] = gateway.store.settled(1)
    assert (row["outcome"], row["usage_source"], bool(row["client_left"])) == ("client_left", "reported", True)
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []
    assert gateway.metric("zenmux_gateway_requests_total", outcome="client_left") == 1


@pytest.mark.parametrize("behind", [b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /v1/mod", b"\x00garbage"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_sends_more_behind_its_request_and_leaves_is_charged_the_truth(
    gateway: RunningGateway, sandbox: SandboxServer, *, stream: bool, behind: bytes
) -> None:
    key = gateway.store.key()
    with asking(gateway, key, "a house [sandbox: delay=500ms]", stream=stream) as connection:
        connection.sendall(behind)
        wait_until(lambda: received(sandbox) > 0, "the request was sent on")
    [row] = gateway.store.settled(1)
    assert (row["outcome"], row["usage_source"], bool(row["client_left"])) == ("client_left", "reported", True)
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


@pytest.mark.long("two dozen clients; every run leaves at named moments")
def test_leaving_at_random_moments_loses_nothing(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    key = gateway.store.key()
    moments, numbers = random.Random(7), itertools.count()
    plans = [(moments.choice([1, 200, 5_000, 60_000, 10**9]), index % 2 == 0) for index in range(24)]

    def one(plan: tuple[int, bool]) -> None:
        prompt = f"house {next(numbers)} [sandbox: gap=20ms]"  # equal ones would have each other's answers
        ask_and_leave(gateway, sandbox, prompt, key=key, after_bytes=plan[0], stream=plan[1])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, plans))
    rows = gateway.store.settled(len(plans))
    assert {row["usage_source"] for row in rows} == {"reported"}
    assert {row["outcome"] for row in rows} <= {"completed", "client_left"}
    bill = fetch_json(sandbox.bill_url)
    assert len(bill["generations"]) == len(plans)
    assert gateway.store.findings(bill) == []


def test_beyond_the_bound_an_abandoned_answer_settles_at_the_estimate(
    start_gateway: StartGateway, sandbox: SandboxServer
) -> None:
    gateway = start_gateway(sandbox.url, abandoned_exchanges_max=0)
    key = gateway.store.key()
    ask_and_leave(gateway, sandbox, "a house [sandbox: delay=500ms]", key=key, after_bytes=0)
    [row] = gateway.store.settled(1)
    assert (row["outcome"], row["usage_source"]) == ("client_left", "estimated")
    assert row["charged_nanousd"] == row["held_nanousd"]


def test_an_answer_is_not_read_on_for_ever(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    gateway = start_gateway(sandbox.url, exchange_seconds_max=3)
    ask_and_leave(gateway, sandbox, "a house [sandbox: stall]", key=gateway.store.key(), after_bytes=100)
    [row] = gateway.store.settled(1)
    assert (row["state"], row["usage_source"], bool(row["client_left"])) == ("settled", "estimated", True)


@pytest.mark.parametrize(("abandoned_max", "source"), [(1, "reported"), (0, "estimated")])
def test_a_client_that_takes_nothing_counts_against_the_bound_like_one_that_left(
    start_gateway: StartGateway, sandbox: SandboxServer, abandoned_max: int, source: str
) -> None:
    gateway = start_gateway(sandbox.url, client_stall_seconds=0.2, abandoned_exchanges_max=abandoned_max)
    # More than the buffers between the two hold, and a pause behind it: the bound must bite before the end.
    with asking(gateway, gateway.store.key(), "a house [sandbox: body=30MB]", stream=False):
        [row] = gateway.store.settled(1)
    assert (row["outcome"], row["usage_source"], bool(row["client_left"])) == ("client_left", source, True)
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []
