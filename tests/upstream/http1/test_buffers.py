"""SqliteCache that is read into again: never while somebody looks at it, and soon after nobody does."""

import asyncio
import random

import pytest

from app.upstream.http1.buffers import COPIED_BYTES_MAX, Buffers
from app.upstream.http1.connection import READ_BYTES_MAX
from app.upstream.http1.transport import AnswerStream, Transport
from tests.upstream.asking import body_of, both_loops, post, transport
from tests.upstream.raw_server import Connection, answered, serve

anyio_backend = both_loops

pytestmark = pytest.mark.anyio


SIZE = COPIED_BYTES_MAX + 8


def look_at(buffers: Buffers) -> memoryview:
    return buffers.take(SIZE).view


async def test_a_small_chunk_is_a_copy_of_the_right_size() -> None:
    buffers = Buffers(SIZE)
    memory = buffers.current
    memory[:5] = b"12345"
    chunk = buffers.take(5)
    assert buffers.current is memory
    memory[:5] = b"xxxxx"
    assert (chunk.data, bytes(chunk.view)) == (b"12345", b"12345")


async def test_a_buffer_is_left_to_those_who_look_at_it() -> None:
    buffers = Buffers(SIZE)
    first, second = look_at(buffers), look_at(buffers)
    assert len({id(first.obj), id(second.obj), id(buffers.current)}) == 3
    part = first[2:4]
    memory = first.obj
    first.release()
    assert look_at(buffers).obj is not memory
    assert buffers.current is not memory, "a part of it is still looked at"
    assert len(part) == 2


async def test_a_buffer_that_nobody_looks_at_is_used_again_as_it_was() -> None:
    buffers = Buffers(SIZE)
    memories = {id(buffers.current)}
    for _ in range(100):
        view = look_at(buffers)
        assert len(view) == SIZE
        view.release()
        memories.add(id(buffers.current))
    assert len(memories) <= 2


async def test_when_all_are_looked_at_copies_of_the_right_size_are_given() -> None:
    buffers = Buffers(2 * SIZE)
    kept = [buffers.take(SIZE) for _ in range(100)]
    assert [isinstance(chunk.data, bytearray) for chunk in kept] == [True] * 8 + [False] * 92
    assert {len(chunk.data) for chunk in kept[8:]} == {SIZE}
    kept.clear()
    assert isinstance(buffers.take(SIZE).data, bytearray)


@pytest.mark.parametrize("keep", [1, 3, 1000], ids=["one", "some", "all"])
async def test_chunks_stay_what_they_are_while_they_are_kept(keep: int) -> None:
    """Answers that pass at the same time over connections that share their memory."""
    bodies = [random.Random(seed).randbytes(5_000_000) for seed in range(4)]

    async def send(connection: Connection) -> None:
        await connection.send(answered(bodies[len(server.requests) - 1]))

    async def read(opened: Transport) -> bytes:
        response = await opened.handle_async_request(post(server.url))
        assert isinstance(response.stream, AnswerStream)
        kept: list[memoryview] = []
        body, largest = b"", 0
        while (chunk := await response.stream.read()) is not None:
            largest = max(largest, len(chunk.view))
            kept.append(chunk.view)
            if len(kept) > keep:
                body += kept.pop(0)
            await asyncio.sleep(0)
        assert COPIED_BYTES_MAX < largest <= READ_BYTES_MAX, "large chunks are passed on without a copy"
        return body + b"".join(kept)

    async with serve(send) as server, transport() as opened:
        got = await asyncio.gather(*(read(opened) for _ in bodies))
    assert sorted(got) == sorted(bodies)


async def test_httpx2_gets_copies() -> None:
    data = random.Random(5).randbytes(2_000_000)
    async with serve(lambda connection: connection.send(answered(data))) as server, transport() as opened:
        assert await body_of(await opened.handle_async_request(post(server.url))) == data
