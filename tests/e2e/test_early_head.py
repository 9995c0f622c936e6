"""While ZenMux is silent, an answer begins early: no client and no proxy that waits for bytes cuts what is paid for."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import APIConnectionError, APIError, OpenAI

from app.sandbox.server import SandboxServer
from tests.deploy.nginx import find_nginx
from tests.e2e.conftest import StartGateway
from tests.servers import Key, RunningGateway, fetch_json, free_port, wait_until

NODE = shutil.which("node")
NGINX = find_nginx()
SCRIPTS = Path(__file__).parent.parent / "node"
BODY = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
PATIENT = 60


@pytest.fixture
def early(start_gateway: StartGateway, sandbox: SandboxServer) -> RunningGateway:
    return start_gateway(sandbox.url, early_head_seconds=0.2, keepalive_seconds=0.2)


def raw(gateway: RunningGateway, key: Key, version: str = "1.1", **fields: Any) -> bytes:
    """Everything that is answered, until the gateway closes the connection."""
    body = json.dumps({**BODY, **fields}).encode()
    head = (
        f"POST /v1/images/generations HTTP/{version}\r\nhost: gateway\r\nconnection: close\r\n"
        f"authorization: Bearer {key.text}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    received = bytearray()
    with socket.create_connection(("127.0.0.1", int(gateway.root.rpartition(":")[2])), timeout=PATIENT) as connection:
        connection.sendall(head.encode() + body)
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
    return bytes(received)


def assert_bought_once(gateway: RunningGateway, sandbox: SandboxServer) -> dict[str, Any]:
    (row,) = gateway.store.settled(1)
    bill = fetch_json(sandbox.bill_url)
    assert len(bill["generations"]) == 1
    assert gateway.store.findings(bill) == []
    return row


def test_a_documents_head_is_that_of_the_request_and_white_space_comes_before_the_image(
    early: RunningGateway, sandbox: SandboxServer
) -> None:
    key = early.store.key("requests:9/day")
    headers = {"authorization": f"Bearer {key.text}"}
    body = {**BODY, "prompt": "a house [sandbox: delay=1s]", "style": "vivid"}
    with httpx2.stream(
        "POST", f"{early.url}/images/generations", json=body, headers=headers, timeout=PATIENT
    ) as answer:
        assert answer.status_code == 200
        assert early.store.rows()[0]["state"] == "pending", "it is not there yet"
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-gateway-normalized"] == "style=dropped"
        assert float(answer.headers["x-gateway-estimated-cost-usd"]) > 0
        assert answer.headers["x-ratelimit-remaining-requests"] == "8"
        assert answer.headers["transfer-encoding"] == "chunked"
        text = answer.read()
    assert text.startswith(b"  ")
    assert len(json.loads(text)["data"]) == 1
    row = assert_bought_once(early, sandbox)
    assert row["id"] == answer.headers["x-request-id"]
    assert row["first_byte_ms"] >= 1000, "white space is no byte of the answer"


@pytest.mark.parametrize("is_joined", [True, False])
def test_who_waits_for_anothers_answer_has_the_head_of_that_one(
    early: RunningGateway, sandbox: SandboxServer, is_joined: bool
) -> None:
    """Whether it joins by its Idempotency-Key, or takes over what its caller left."""
    key, fields = early.store.key("requests:9/day"), {"prompt": "a house [sandbox: delay=2s]", "style": "vivid"}
    headers = {"authorization": f"Bearer {key.text}", **({"idempotency-key": "k"} if is_joined else {})}
    url = f"{early.url}/images/generations"
    with httpx2.stream("POST", url, json={**BODY, **fields}, headers=headers, timeout=PATIENT) as first:
        if not is_joined:
            first.close()
            wait_until(lambda: early.store.undelivered() == 1, "it is known that its caller is gone")
        with httpx2.stream("POST", url, json={**BODY, **fields}, headers=headers, timeout=PATIENT) as second:
            assert early.store.rows()[0]["state"] == "pending", "the image is not there yet"
            assert second.headers["x-gateway-replayed"] == "true"
            for name in ("content-type", "x-gateway-normalized", "x-gateway-estimated-cost-usd"):
                assert second.headers[name] == first.headers[name]
            assert "x-ratelimit-limit-requests" in first.headers
            assert "x-ratelimit-limit-requests" not in second.headers, "it counts towards no limit"
            assert second.headers["x-request-id"] != first.headers["x-request-id"]
            text = second.read()
            assert text.startswith(b"  ")
            assert len(json.loads(text)["data"]) == 1
    assert_bought_once(early, sandbox)


@pytest.mark.parametrize(
    ("directive", "status", "code"),
    [
        ("status=500", 502, "upstream_failed"),
        ("reset", 502, "upstream_broken"),
        ("moderation", 400, "moderation_blocked"),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"x-stainless-retry-count": "1"}, {"idempotency-key": "k"}])
def test_who_sends_it_again_after_a_broken_connection_is_told_why(
    early: RunningGateway, sandbox: SandboxServer, directive: str, status: int, code: str, headers: dict[str, str]
) -> None:
    """Its head said 200. What is sent again has the failure in its own status, and buys nothing."""
    key, body = early.store.key(), {**BODY, "prompt": f"a house [sandbox: delay=1s {directive}]"}
    url, headers = f"{early.url}/images/generations", {"authorization": f"Bearer {key.text}", **headers}
    with pytest.raises(httpx2.RemoteProtocolError):
        httpx2.post(url, json=body, headers=headers, timeout=PATIENT)
    early.store.settled(1)
    again = httpx2.post(url, json=body, headers=headers, timeout=PATIENT)
    assert (again.status_code, again.json()["error"]["code"]) == (status, code)
    assert again.headers["x-gateway-replayed"] == "true"
    assert len(early.store.rows()) == 1, "nothing more was bought"
    assert early.store.findings(fetch_json(sandbox.bill_url)) == []


def test_an_answer_that_comes_in_time_is_as_ever(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    answer = raw(gateway, gateway.store.key(), prompt="a house")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-length" in head.lower()
    assert body.startswith(b"{")
    assert_bought_once(gateway, sandbox)


@pytest.mark.parametrize("directive", ["status=500", "garbage", "empty", "reset", "moderation"])
def test_a_failure_after_the_head_breaks_the_connection(
    early: RunningGateway, sandbox: SandboxServer, directive: str
) -> None:
    answer = raw(early, early.store.key(), prompt=f"a house [sandbox: delay=1s {directive}]")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"chunked" in head
    assert not body.endswith(b"0\r\n\r\n"), "nobody takes it for whole"
    assert set(body) <= set(b"1\r\n "), "white space in chunks of one byte"
    early.store.settled(1)
    assert early.store.findings(fetch_json(sandbox.bill_url)) == []


def test_an_image_that_is_cut_after_an_early_head_is_cut_for_its_caller(early: RunningGateway) -> None:
    answer = raw(early, early.store.key(), prompt="a house [sandbox: delay=1s cut=0.5]")
    assert not answer.endswith(b"0\r\n\r\n")
    assert b"b64_json" in answer


def test_http_1_0_has_no_chunks_and_no_early_document(early: RunningGateway, sandbox: SandboxServer) -> None:
    answer = raw(early, early.store.key(), "1.0", prompt="a house [sandbox: delay=1s]")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-length" in head.lower()
    assert body.startswith(b"{")
    assert_bought_once(early, sandbox)


def test_a_stream_begins_with_comments_and_its_events_follow(early: RunningGateway, sandbox: SandboxServer) -> None:
    answer = raw(early, early.store.key(), prompt="a house [sandbox: delay=1s]", stream=True)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: text/event-stream" in head.lower()
    assert body.count(b": keep-alive\n") >= 2
    assert body.index(b": keep-alive\n") < body.index(b"event: image_generation")
    assert_bought_once(early, sandbox)


@pytest.mark.parametrize("stream", [True, False])
def test_openai_python_reads_what_began_early(early: RunningGateway, sandbox: SandboxServer, stream: bool) -> None:
    with OpenAI(base_url=early.url, api_key=early.store.key().text, max_retries=0) as client:
        images: Any = client.images
        answer = images.generate(**BODY, prompt="a house [sandbox: delay=1s]", stream=stream)
        if stream:
            assert [event.type for event in answer][-1] == "image_generation.completed"
        else:
            assert answer.data[0].b64_json
            assert answer.usage.total_tokens > 0
    assert_bought_once(early, sandbox)


@pytest.mark.parametrize(("stream", "error"), [(True, APIError), (False, APIConnectionError)])
def test_openai_python_raises_when_what_began_early_fails(
    early: RunningGateway, stream: bool, error: type[Exception]
) -> None:
    prompt = "a house [sandbox: delay=1s status=500]"
    with OpenAI(base_url=early.url, api_key=early.store.key().text, max_retries=0) as client:
        images: Any = client.images

        def ask() -> list[Any]:
            answer = images.generate(**BODY, prompt=prompt, stream=stream)
            return list(answer) if stream else [answer]

        with pytest.raises((error, httpx2.HTTPError)):
            ask()


@pytest.mark.skipif(NODE is None, reason="there is no Node.js on this machine")
@pytest.mark.parametrize(("seconds", "stream"), [(1, False), (0, False), (1, True)])
def test_nodes_fetch_with_a_timeout_of_three_seconds(
    start_gateway: StartGateway, sandbox: SandboxServer, seconds: float, stream: bool
) -> None:
    """Without the early head its image is bought and lost."""
    assert NODE is not None
    if not (SCRIPTS / "node_modules" / "openai").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=SCRIPTS, check=True, timeout=300)
    gateway = start_gateway(sandbox.url, early_head_seconds=seconds, keepalive_seconds=1)
    environment = {**os.environ, "OPENAI_BASE_URL": gateway.url, "OPENAI_API_KEY": gateway.store.key().text}
    fields = {"prompt": "a house [sandbox: delay=10s]", "stream": stream}
    done = subprocess.run(
        [NODE, "early_head.mjs", json.dumps(fields)],
        cwd=SCRIPTS, env=environment, capture_output=True, timeout=90, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    if seconds == 0:
        assert found["error"] is not None
    elif stream:
        assert found["result"]["events"][-1] == "image_generation.completed"
    else:
        assert found["error"] is None
        assert [image["begins"] for image in found["result"]["images"]] == ["89504e470d0a1a0a"]
    assert_bought_once(gateway, sandbox)


@contextmanager
def impatient_proxy(folder: Path, gateway: RunningGateway) -> Iterator[str]:
    """nginx that cuts after two seconds without a byte; gives its URL, which ends in /v1."""
    assert NGINX is not None
    port, user = free_port(), "user root;" if os.geteuid() == 0 else ""
    paths = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; {user} events {{ worker_connections 64; }}\n"
        f"http {{ {paths} access_log off; server {{ listen 127.0.0.1:{port}; location / {{\n"
        f"proxy_pass {gateway.root}; proxy_http_version 1.1; proxy_read_timeout 2s; }} }} }}\n"
    )
    command = [NGINX.path, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:

        def listens() -> bool:
            assert process.poll() is None, (folder / "nginx.log").read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens, "nginx listens")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.skipif(NGINX is None, reason="nginx is not here: a proxy that cuts after 2 s is not tested")
@pytest.mark.parametrize(("seconds", "stream", "arrives"), [(1, False, True), (0, False, False), (0, True, True)])
def test_behind_an_nginx_that_cuts_after_two_seconds(
    start_gateway: StartGateway, sandbox: SandboxServer, tmp_path: Path, seconds: float, stream: bool, arrives: bool
) -> None:
    gateway = start_gateway(sandbox.url, early_head_seconds=seconds, keepalive_seconds=1)
    key, body = gateway.store.key(), {**BODY, "prompt": "a house [sandbox: delay=10s]", "stream": stream}
    with impatient_proxy(tmp_path, gateway) as url:
        headers = {"authorization": f"Bearer {key.text}"}
        answer = httpx2.post(f"{url}/images/generations", json=body, headers=headers, timeout=PATIENT)
        assert answer.status_code == (200 if arrives else 504)
        if arrives:
            assert "b64_json" in answer.text
    assert_bought_once(gateway, sandbox)
