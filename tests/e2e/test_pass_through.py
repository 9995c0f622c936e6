"""Answers pass byte for byte and as they come; headers cross only where they may. Against an upstream of raw bytes."""

import asyncio
import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from tests.e2e.conftest import StartGateway
from tests.raw_upstream import Answer, RawRequest, RawUpstream, chunk, chunked_head, document
from tests.servers import UPSTREAM_KEY, Key, RunningGateway, wait_until

_MORE = pytest.mark.long("every run looks for circles after a document and after a stream")
BODY = {"model": "gpt-image-2", "prompt": "a house", "size": "1024x1024", "quality": "low"}
USAGE = {
    "total_tokens": 214,
    "input_tokens": 18,
    "output_tokens": 196,
    "input_tokens_details": {"text_tokens": 18, "image_tokens": 0},
}
# Spaces, key order and escapes that no JSON library would write the same way again.
DOCUMENT = (
    b'{ "created" : 17, "data":[ {"b64_json":"' + b"QUJD" * 50_000 + b'"} ],\n "note":"\\u00e9\\/",'
    b'"usage":' + json.dumps(USAGE).encode() + b" }\n"
)
EVENTS = [
    b": ZENMUX PROCESSING\n\n",
    b'event: image_generation.partial_image\ndata: {"type":"image_generation.partial_image","b64_json":"'
    + b"QUJD" * 20_000
    + b'","partial_image_index":0}\n\n',
    b'event: image_generation.completed\r\ndata: {"type":"image_generation.completed","b64_json":"'
    + b"QUJD" * 30_000
    + b'","usage":'
    + json.dumps(USAGE).encode()
    + b"}\r\n\r\n",
    b"data: [DONE]\n\n",
]


def post(gateway: RunningGateway, key: Key, headers: dict[str, str] | None = None, **fields: Any) -> httpx2.Response:
    return httpx2.post(
        f"{gateway.url}/images/generations",
        json={**BODY, **fields},
        headers={"authorization": f"Bearer {key.text}", **(headers or {})},
        timeout=30,
    )


@contextmanager
def circles() -> Iterator[list[object]]:
    """What only Python's collector could have freed meanwhile, of all threads."""
    left: list[object] = []
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield left
        gc.collect()
        left += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def send_document(_: RawRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(document(DOCUMENT, "set-cookie: a=b", "x-zenmux-requestid: zm-1", "openai-organization: org-1"))


async def send_the_beginning(_: RawRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(document(DOCUMENT)[:50_000])
    writer.close()


async def send_refusal(_: RawRequest, writer: asyncio.StreamWriter) -> None:
    body = b'{"error": {"message": "no", "type": "invalid_request_error"}}'
    writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


async def send_events(_: RawRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(chunked_head() + b"".join(map(chunk, EVENTS)) + chunk(b""))


@pytest.mark.parametrize(
    ("send", "limits", "stream", "status"),
    [
        (send_document, (), False, 200),
        (send_events, (), True, 200),
        pytest.param(send_document, ("requests:1/day",), False, 429, marks=_MORE),
        pytest.param(send_refusal, (), False, 400, marks=_MORE),
        pytest.param(send_the_beginning, (), False, None, marks=_MORE),
    ],
    ids=["document", "events", "refused here", "refused there", "broken off"],
)
def test_a_request_leaves_no_circle_behind(
    start_gateway: StartGateway, send: Answer, limits: tuple[str, ...], stream: bool, status: int | None
) -> None:
    """It would hold all of a request until Python's collector comes, which a gateway lets it do seldom."""
    with RawUpstream(send) as upstream:
        gateway = start_gateway(upstream.url)
        key = gateway.store.key(*limits)

        def ask(prompt: str = "first") -> int | None:
            try:  # equal ones would have each other's failure
                return post(gateway, key, prompt=prompt, stream=stream).status_code
            except httpx2.RemoteProtocolError:
                return None

        ask()  # makes what is made once
        with circles() as left:
            assert [ask(f"house {number}") for number in range(3)] == [status] * 3
            gateway.store.settled()
            wait_until(lambda: not gateway.metric("zenmux_gateway_in_flight_requests"), "all have ended")
        assert [each for each in left if type(each).__module__.startswith("app.")] == []


def test_a_document_passes_byte_for_byte(start_gateway: StartGateway) -> None:
    with RawUpstream(send_document) as upstream:
        gateway = start_gateway(upstream.url)
        answer = post(gateway, gateway.store.key())
        assert answer.content == DOCUMENT
        assert int(answer.headers["content-length"]) == len(DOCUMENT)
        [row] = gateway.store.settled(1)
        assert (row["usage_source"], row["charged_tokens"], row["charged_images"]) == ("reported", 214, 1)
        assert row["upstream_request_id"] == "zm-1"


def test_a_stream_passes_byte_for_byte(start_gateway: StartGateway) -> None:
    with RawUpstream(send_events) as upstream:
        gateway = start_gateway(upstream.url)
        answer = post(gateway, gateway.store.key(), stream=True)
        assert answer.content == b"".join(EVENTS)
        [row] = gateway.store.settled(1)
        assert (row["usage_source"], row["charged_tokens"], row["outcome"]) == ("reported", 214, "completed")


def test_the_answers_own_content_type_decides(start_gateway: StartGateway) -> None:
    """A document for a request that asked for a stream is read as one, and put out as what was asked for."""
    with RawUpstream(send_document) as upstream:
        gateway = start_gateway(upstream.url)
        answer = post(gateway, gateway.store.key(), stream=True)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert b"QUJD" * 50_000 in answer.content
        assert gateway.store.settled(1)[0]["charged_tokens"] == 214


def test_an_event_is_never_held_for_the_next(start_gateway: StartGateway) -> None:
    """The second event is sent only after the client has the first."""
    first_arrived = asyncio.Event()

    async def one_by_one(_: RawRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked_head() + chunk(EVENTS[1]))
        await writer.drain()
        await first_arrived.wait()
        writer.write(chunk(EVENTS[2]) + chunk(b""))

    with RawUpstream(one_by_one) as upstream:
        gateway = start_gateway(upstream.url)
        headers = {"authorization": f"Bearer {gateway.store.key().text}"}
        received = b""
        with httpx2.stream(
            "POST", f"{gateway.url}/images/generations", json={**BODY, "stream": True}, headers=headers, timeout=30
        ) as answer:
            for piece in answer.iter_raw():
                received += piece
                if received == EVENTS[1]:
                    upstream.call(first_arrived.set)
        assert received == EVENTS[1] + EVENTS[2]


def test_a_silent_stream_is_kept_alive(start_gateway: StartGateway) -> None:
    finish = asyncio.Event()

    async def silent_in_the_middle(_: RawRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked_head() + chunk(EVENTS[1]))
        await writer.drain()
        await finish.wait()
        writer.write(chunk(EVENTS[2]) + chunk(b""))

    with RawUpstream(silent_in_the_middle) as upstream:
        gateway = start_gateway(upstream.url, keepalive_seconds=0.05)
        headers = {"authorization": f"Bearer {gateway.store.key().text}"}
        received = b""
        with httpx2.stream(
            "POST", f"{gateway.url}/images/generations", json={**BODY, "stream": True}, headers=headers, timeout=30
        ) as answer:
            for piece in answer.iter_raw():
                received += piece
                if received.count(b": keep-alive\n") >= 2:
                    upstream.call(finish.set)
        assert received.replace(b": keep-alive\n", b"") == EVENTS[1] + EVENTS[2]


def test_what_crosses_and_what_does_not(start_gateway: StartGateway) -> None:
    with RawUpstream(send_document) as upstream:
        gateway = start_gateway(upstream.url)
        key = gateway.store.key()
        answer = post(
            gateway,
            key,
            {
                "cookie": "session=secret",
                "x-api-key": "another",
                "x-stainless-lang": "python",
                "x-openwebui-user-email": "a@example.org",
                "x-forwarded-for": "10.0.0.1",
                "openai-organization": "org-caller",
                "user-agent": "Someone/1.0",
            },
        )
        [request] = upstream.requests
        assert request.line == "POST /api/v1/images/generations HTTP/1.1"
        assert request.headers["authorization"].lower() == f"bearer {UPSTREAM_KEY}"
        assert key.text.lower() not in str(request.headers)
        assert set(request.headers) <= {
            *("authorization", "content-type", "content-length", "accept", "accept-encoding", "host", "user-agent"),
        }
        assert request.headers["user-agent"].startswith("zenmux-gateway/")
        assert not {"set-cookie", "x-zenmux-requestid", "openai-organization"} & set(answer.headers)


def test_the_full_model_id_and_nothing_unasked_is_sent(start_gateway: StartGateway) -> None:
    with RawUpstream(send_document) as upstream:
        gateway = start_gateway(upstream.url)
        post(gateway, gateway.store.key(), n=None, response_format="b64_json")
        assert json.loads(upstream.requests[0].body) == {**BODY, "model": "openai/gpt-image-2"}


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_the_scanner_reads_usage_however_the_bytes_are_cut(start_gateway: StartGateway, size: int) -> None:
    whole = EVENTS[2][:200] + EVENTS[2][-300:]

    async def in_pieces(_: RawRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(
            chunked_head() + b"".join(chunk(whole[i : i + size]) for i in range(0, len(whole), size)) + chunk(b"")
        )

    with RawUpstream(in_pieces) as upstream:
        gateway = start_gateway(upstream.url)
        assert post(gateway, gateway.store.key(), stream=True).content == whole
        assert gateway.store.settled(1)[0]["charged_tokens"] == 214


async def drop_after_reading(_: RawRequest, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def test_a_request_that_was_sent_is_never_sent_again(start_gateway: StartGateway) -> None:
    with RawUpstream(drop_after_reading) as upstream:
        gateway = start_gateway(upstream.url)
        answer = post(gateway, gateway.store.key())
        assert answer.status_code == 502
        assert answer.headers["x-should-retry"] == "false"
        assert len(upstream.requests) == 1
        [row] = gateway.store.settled(1)
        assert (row["state"], row["usage_source"], row["outcome"]) == ("settled", "estimated", "upstream_failed")
        assert row["charged_nanousd"] == row["held_nanousd"]


def test_nobody_there_costs_nothing(start_gateway: StartGateway) -> None:
    with RawUpstream(drop_after_reading) as upstream:
        url = upstream.url
    gateway = start_gateway(url, connect_retries=1)
    answer = post(gateway, gateway.store.key())
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    [row] = gateway.store.settled(1)
    assert (row["state"], row["charged_nanousd"], row["dispatched_at_ms"]) == ("released", 0, None)
