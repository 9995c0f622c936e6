"""How an answer is written: one chunk at a time, and no further than its caller takes."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, cast

import pytest
from starlette.types import Message
from uvicorn.protocols.http.flow_control import FlowControl

from app.server.http.cycle import Cycle
from tests.server.served import BIG, Served, read_all

pytestmark = pytest.mark.anyio
CHUNK = b"c" * 300


class Wire:
    """A transport that remembers what was written. It is full after each chunk if `is_slow`."""

    def __init__(self, *, is_slow: bool) -> None:
        self.written: list[bytes] = []
        self.flow = FlowControl(cast("asyncio.Transport", self))
        self._is_slow = is_slow

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))
        if self._is_slow:
            self.flow.pause_writing()

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...


def cycle_on(wire: Wire) -> Cycle:
    return Cycle(
        scope=cast("Any", {"method": "POST"}),
        transport=cast("asyncio.Transport", wire),
        flow=wire.flow,
        logger=logging.getLogger(),
        access_logger=logging.getLogger(),
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=True,
        on_response=lambda: None,
    )


def body(chunk: bytes, *, more: bool = True) -> Any:
    return {"type": "http.response.body", "body": chunk, "more_body": more}


async def begun(wire: Wire, *headers: tuple[bytes, bytes]) -> Cycle:
    cycle = cycle_on(wire)
    start: Message = {"type": "http.response.start", "status": 200, "headers": headers}
    await cycle.send(cast("Any", start))
    wire.flow.resume_writing()
    wire.written.clear()
    return cycle


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"600")]], ids=["chunks", "a length"])
async def test_a_chunk_is_written_once_and_the_next_is_not_read_before_the_caller_took_it(
    headers: list[tuple[bytes, bytes]],
) -> None:
    wire = Wire(is_slow=True)
    cycle = await begun(wire, *headers)
    sending = asyncio.ensure_future(cycle.send(body(CHUNK)))
    await turns()
    assert not sending.done()
    assert wire.written == [CHUNK if headers else b"12c\r\n" + CHUNK + b"\r\n"]
    wire.flow.resume_writing()
    await sending


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"600")]], ids=["chunks", "a length"])
async def test_the_last_chunk_waits_for_nobody(headers: list[tuple[bytes, bytes]]) -> None:
    wire = Wire(is_slow=False)
    cycle = await begun(wire, *headers)
    await cycle.send(body(CHUNK))
    wire._is_slow = True
    await cycle.send(body(CHUNK, more=False))
    assert cycle.response_complete


async def test_a_caller_that_leaves_ends_the_wait_and_gets_nothing_more() -> None:
    wire = Wire(is_slow=True)
    cycle = await begun(wire)
    sending = asyncio.ensure_future(cycle.send(body(CHUNK)))
    await turns()
    cycle.lose_caller()
    wire.flow.resume_writing()  # as uvicorn does when a connection is lost
    await sending
    await cycle.send(body(CHUNK))
    await cycle.send(body(b"", more=False))
    assert len(wire.written) == 1


async def test_an_empty_chunk_does_not_end_the_answer() -> None:
    wire = Wire(is_slow=False)
    cycle = await begun(wire)
    await cycle.send(body(b""))
    assert b"".join(wire.written) == b""
    assert not cycle.response_complete


def test_chunks_keep_their_order_when_the_connection_is_full() -> None:
    with Served() as served, served.connect() as connection:
        connection.sendall(b"GET /big HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        head, _, rest = read_all(connection).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert rest == (b"186a0\r\n" + b"b" * 100_000 + b"\r\n") * (BIG // 100_000) + b"0\r\n\r\n"
