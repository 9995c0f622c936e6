"""How answers are sent: late, slowly, in part, or not at all; on a real connection."""

import gzip
import json
import socket
import time
import zlib

import httpx2
import pytest

from tests.sandbox.support import Client, events_of, image_of, received


def split(data: bytes) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a raw answer."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


def test_a_delay_comes_before_the_head(client: Client) -> None:
    start = time.monotonic()
    with client.http.stream(
        "POST",
        client.server.url + "/images/generations",
        json={"model": "gpt-image-2", "prompt": "[sandbox: status=429 delay=300ms]"},
    ) as answer:
        assert answer.status_code == 429
        assert time.monotonic() - start >= 0.3


def test_a_waiting_stream_says_that_it_lives(client: Client) -> None:
    # Comments come every 50 ms here, ten seconds by default.
    answer = client.draw("A fox [sandbox: gap=200ms]", stream=True, partial_images=1)
    before_first, *_ = answer.content.partition(b"event:")
    assert before_first.count(b": ZENMUX PROCESSING\n\n") >= 2
    assert len(events_of(answer.content)) == 2


def test_a_stream_that_does_not_wait_has_no_comments(client: Client) -> None:
    assert b"PROCESSING" not in client.draw(stream=True, partial_images=2).content


def test_gaps_fall_between_the_chunks_of_a_document(client: Client) -> None:
    start = time.monotonic()
    answer = client.draw("A fox [sandbox: body=300kB gap=50ms]")
    assert time.monotonic() - start >= 5 * 0.05  # 300 kB are five chunks
    assert image_of(answer.json()["data"][0]).size == (1024, 1024)


def test_a_slow_body_keeps_to_its_rate(client: Client) -> None:
    start = time.monotonic()
    answer = client.draw("A fox [sandbox: body=400kB slow=1MB/s]")
    assert time.monotonic() - start >= 0.35
    assert abs(len(answer.content) - 400_000) <= 12


@pytest.mark.parametrize("stream", [False, True])
def test_a_cut_ends_the_connection_after_its_share(client: Client, stream: bool) -> None:
    whole = len(client.draw("A fox", stream=stream).content)
    client.http.delete(client.server.bill_url)
    with client.send("A fox [sandbox: cut=0.5]", stream=stream) as connection:
        headers, body = split(b"".join(received(connection)))
    if stream:
        assert not body.endswith(b"0\r\n\r\n")  # the chunked body has no end
        assert b"event: image_generation.completed" in body
    else:
        assert int(headers["content-length"]) == pytest.approx(whole, abs=50)  # the directive is part of the prompt
        assert len(body) == int(headers["content-length"]) // 2
    assert client.charged()["client_left"] is False


def test_a_cut_of_nothing_leaves_the_head(client: Client) -> None:
    with client.send("A fox [sandbox: cut=0]") as connection:
        headers, body = split(b"".join(received(connection)))
    assert int(headers["content-length"]) > 0
    assert body == b""


def test_sdk_like_clients_see_the_cut(client: Client) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        client.draw("A fox [sandbox: cut=0.5]")
    with pytest.raises(httpx2.RemoteProtocolError):
        client.draw("A fox [sandbox: cut=0.5]", stream=True)


def test_a_reset_answers_nothing_and_is_charged(client: Client) -> None:
    with client.send("A fox [sandbox: reset]") as connection, pytest.raises(ConnectionResetError):
        list(received(connection))
    assert client.charged()["output_tokens"] == 196


def read_for(seconds: float, connection: socket.socket) -> bytes:
    """What comes until nothing more has come for so long; the connection must stay open."""
    data = connection.recv(65_536)
    connection.settimeout(seconds)
    while True:
        try:
            chunk = connection.recv(65_536)
        except TimeoutError:
            return data
        assert chunk, "the connection was closed"
        data += chunk


@pytest.mark.parametrize("stream", [False, True])
def test_a_stall_sends_its_share_and_then_nothing(client: Client, stream: bool) -> None:
    with client.send("A fox [sandbox: stall=0.25]", stream=stream, partial_images=3 if stream else 0) as connection:
        data = read_for(0.5, connection)
        assert data.startswith(b"HTTP/1.1 200")
        assert b"usage" not in data  # the last thing said, in either form
        assert client.charged()["client_left"] is False
    client.charged(lambda row: bool(row["client_left"]))


def test_a_chunked_document_has_no_length(client: Client) -> None:
    answer = client.draw("A fox [sandbox: chunked]")
    assert "content-length" not in answer.headers
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.json()["data"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_gzipped_body_says_so(client: Client, stream: bool) -> None:
    with client.send("A fox [sandbox: gzip gap=120ms]", stream=stream) as connection:
        connection.settimeout(20)
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += connection.recv(65_536)
    headers, body = split(data)
    assert headers["content-encoding"] == "gzip"
    raw = gzip.decompress(unchunked(body))
    if stream:
        assert raw.startswith(b": ZENMUX PROCESSING")
        assert events_of(raw)[-1][0] == "image_generation.completed"
    else:
        assert json.loads(raw)["data"]


def unchunked(body: bytes) -> bytes:
    data = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        data += rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]
    return data


def test_events_leave_when_they_are_ready_even_compressed(client: Client) -> None:
    with client.send("A fox [sandbox: gzip gap=200ms]", stream=True, partial_images=1) as connection:
        body = b""
        seen = b""
        while b"partial_image" not in seen:
            body += connection.recv(65_536)
            reader = zlib.decompressobj(wbits=31)
            seen = reader.decompress(unchunked(split(body)[1])) if b"\r\n\r\n" in body else b""
        assert b"completed" not in seen


def test_internal_headers_come_on_request_only(client: Client) -> None:
    internal = {"set-cookie", "openai-organization", "x-request-id", "via", "cf-ray"}
    assert not internal & set(client.draw().headers)
    assert internal <= set(client.draw("A fox [sandbox: headers]").headers)


def test_refusals_are_paced_too(client: Client) -> None:
    with client.send("A fox [sandbox: status=500 cut=0.5]") as connection:
        headers, body = split(b"".join(received(connection)))
    assert len(body) == int(headers["content-length"]) // 2
    assert client.rows() == []


def test_a_connection_serves_again_after_a_healthy_answer(client: Client) -> None:
    with client.send("A fox [sandbox: status=429]") as connection:
        first = connection.getsockname()
        while b"Rate limit" not in connection.recv(65_536):
            pass
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        assert connection.getsockname() == first
    assert isinstance(connection, socket.socket)
