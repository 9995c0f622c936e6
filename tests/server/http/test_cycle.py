"""How an answer is written: one chunk at a time, and no further than its caller takes."""

import asyncio
import logging
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.types import Message
from uvicorn.protocols.http.flow_control import FlowControl

from app.server.http.cycle import FILE_PART, Cycle
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
        scope=cast("Any", {"method": "POST", "headers": [(b"content-length", b"2")]}),
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


class FullWire(Wire):
    """The kernel has not taken the last `unsent` bytes. Says that there is room as a transport does."""

    def __init__(self) -> None:
        super().__init__(is_slow=False)
        self.unsent = 100
        self._high = 65_536

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, high: int = 65_536) -> None:
        self._high = high
        if self.unsent > high:
            self.flow.pause_writing()

    def take(self, size: int) -> None:
        self.unsent -= size
        if self.unsent <= self._high // 4:
            self.flow.resume_writing()

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> Any:
        assert name == "socket"
        return SimpleNamespace(fileno=lambda: 7)


class Sent:
    """Takes parts of files, and remembers how much was in front of them."""

    def __init__(self, wire: FullWire) -> None:
        self.found: list[tuple[int, int, int, int, int]] = []
        self._wire = wire

    async def send_some(self, connection: int, file: int, offset: int, count: int) -> int:
        self.found.append((connection, file, offset, count, self._wire.unsent))
        return count


async def test_a_file_waits_for_what_was_written_before_it() -> None:
    wire = FullWire()
    cycle = await begun(wire, (b"content-length", b"600"))
    cycle.files = sent = cast("Any", Sent(wire))
    message = {"type": FILE_PART, "file": 5, "offset": 30, "count": 600, "more_body": True}
    sending = asyncio.ensure_future(cycle.send(cast("Any", message)))
    await turns()
    wire.take(99)
    await turns()
    assert sent.found == []
    wire.take(1)
    await sending
    assert sent.found == [(7, 5, 30, 600, 0)]
    assert wire._high == 65_536
    await cycle.send(body(b"", more=False))
    assert cycle.response_complete


async def test_what_the_loop_writes_at_the_end_of_a_turn_is_waited_for() -> None:
    """uvloop shows nothing of it before."""
    wire = FullWire()
    wire.unsent = 0
    cycle = await begun(wire, (b"content-length", b"600"))
    cycle.files = sent = cast("Any", Sent(wire))
    message = {"type": FILE_PART, "file": 5, "offset": 0, "count": 600, "more_body": True}
    sending = asyncio.ensure_future(cycle.send(cast("Any", message)))
    asyncio.get_running_loop().call_soon(setattr, wire, "unsent", 100)
    await turns()
    assert sent.found == []
    wire.take(100)
    await sending
    assert [unsent for *_, unsent in sent.found] == [0]


def test_chunks_keep_their_order_when_the_connection_is_full() -> None:
    with Served() as served, served.connect() as connection:
        connection.sendall(b"GET /big HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        head, _, rest = read_all(connection).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert rest == (b"186a0\r\n" + b"b" * 100_000 + b"\r\n") * (BIG // 100_000) + b"0\r\n\r\n"
