"""Answers made of as many small parts as possible hold no event loop, over either transport."""

import contextlib
import json
from asyncio import StreamWriter
from functools import partial
from pathlib import Path

import httpx2
import pytest

from tests.loop_stall import assert_no_stall
from tests.raw_upstream import RawRequest, RawUpstream, chunk, chunked_head
from tests.servers import GatewayProcess

BODIES: dict[str, tuple[str, bytes]] = {
    "comments": ("text/event-stream", b":\n\n" * 400_000),
    "tiny events": ("text/event-stream", b"data: {}\n\n" * 120_000),
    "small numbers": ("application/json", b'{"data":[' + b"1," * 600_000),
    "blank lines": ("text/event-stream", b"\n" * 1_100_000),
    "carriage returns": ("text/event-stream", b":\r" * 550_000),
    "small images": ("application/json", b'{"data":[' + b'{"url":"a"},' * 100_000),
    "a long stream of numbers": ("text/event-stream", b'data: {"a":[' + b"1," * 550_000),
}
# They keep what parses heads and trailers busy, and end at once: nothing more comes, and nobody waits for it.
BLANKS = b"a:" + b" " * 60_000 + b"\0\r\n\r\n"
FRAMING = {
    "interim answers": b"HTTP/1.1 100 \r\n\r\n" * 50_000,
    "headers": b"HTTP/1.1 200 OK\r\n" + b"a:b\r\n" * 50_000,
    "blanks in a header": b"HTTP/1.1 200 OK\r\n" + BLANKS,
    "blanks in a trailer": chunked_head() + chunk(b"data: {}\n\n") + b"0\r\n" + BLANKS,
    "trailers": chunked_head() + chunk(b"data: {}\n\n") + b"0\r\n" + b"a:b\r\n" * 50_000,
}


def flood(name: str, large_bytes: int, tiny_bytes: int) -> bytes:
    """The flood in one large chunk, and the beginning of it in tiny ones."""
    if name in FRAMING:
        return FRAMING[name]
    kind, body = BODIES[name]
    pieces = b"".join(chunk(body[at : at + 7]) for at in range(0, tiny_bytes, 7))
    return chunked_head(kind) + chunk(body[:large_bytes]) + pieces + chunk(b"")


def assert_none_holds_the_loop(folder: Path, carrier: str, wires: dict[str, bytes]) -> None:
    async def send(request: RawRequest, writer: StreamWriter) -> None:
        writer.write(wires[json.loads(request.body)["prompt"]])

    with (
        RawUpstream(send) as upstream,
        GatewayProcess(
            folder / "data", upstream.url, module="tests.loop_stall", GATEWAY_UPSTREAM_TRANSPORT=carrier
        ) as gateway,
    ):
        headers = {"authorization": f"Bearer {gateway.store.key().text}"}

        def act(name: str) -> None:
            streams = name in FRAMING or BODIES[name][0] == "text/event-stream"
            body = {"model": "gpt-image-2", "prompt": name, "stream": streams}
            with contextlib.suppress(httpx2.RemoteProtocolError):  # a document that had begun breaks off
                httpx2.post(f"{gateway.url}/images/generations", json=body, headers=headers, timeout=60)

        for name in wires:
            assert_no_stall(gateway.root, partial(act, name))


@pytest.mark.parametrize("carrier", ["http1", "httpx"])
def test_no_answer_holds_the_event_loop(tmp_path: Path, carrier: str) -> None:
    """Each reader once: events in a stream, what is none of them, a document; and what comes around a body."""
    names = ("comments", "tiny events", "small numbers", *FRAMING)
    assert_none_holds_the_loop(tmp_path, carrier, {name: flood(name, 200_000, 40_000) for name in names})


@pytest.mark.long("a hundred thousand tiny chunks; every run has the beginning of half of these floods")
@pytest.mark.parametrize("carrier", ["http1", "httpx"])
def test_no_large_answer_holds_the_event_loop(tmp_path: Path, carrier: str) -> None:
    assert_none_holds_the_loop(tmp_path, carrier, {name: flood(name, 1_000_000, 100_000) for name in BODIES})
