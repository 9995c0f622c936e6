"""A file that grows: read by others meanwhile, whole or gone at the end, whatever the disk does."""

import asyncio
import os
from pathlib import Path

import pytest

from app.errors import FilesUnavailable
from app.files.store.draft import Draft
from app.files.store.index import Kind
from app.files.store.store import FileStore
from app.files.store.writer import Aborted, FileWriter
from tests.files.store.making import ANN, content


async def a_writer(store: FileStore) -> FileWriter:
    return await store.create(Kind.ANSWER, ANN, "req_1", "application/json", 60)


async def follow(writer: FileWriter) -> bytes:
    return b"".join([chunk async for chunk in writer.follow()])


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_followers_get_what_there_is_and_then_what_comes(store: FileStore) -> None:
    """One that was there before, one that comes in the middle, one that comes at the end."""
    data = os.urandom(700_001)
    writer = await a_writer(store)
    early = asyncio.ensure_future(follow(writer))
    await asyncio.sleep(0)
    for start in range(0, 350_000, 70_000):
        await writer.write(data[start : start + 70_000])
    middle = asyncio.ensure_future(follow(writer))
    await asyncio.sleep(0)
    await writer.write(data[350_000:])
    assert b"".join([chunk async for chunk in writer.follow(to_end=False)]) == data
    await writer.commit()
    assert await early == await middle == data
    assert await follow(writer) == data  # of the file that was kept


async def test_a_follower_does_not_wait_for_the_disk(store: FileStore) -> None:
    """Small events are gathered before they are written, but whoever follows has them at once."""
    writer = await a_writer(store)
    chunks = aiter(writer.follow())
    for event in (b"data: 1\n\n", b"data: 2\n\n"):
        await writer.write(event)
        assert await anext(chunks) == event
    await writer.abort()
    with pytest.raises(Aborted):
        await anext(chunks)


async def test_an_aborted_file_is_gone(store: FileStore) -> None:
    writer = await a_writer(store)
    before = descriptors()
    await writer.write(b"x" * 500_000)
    following = asyncio.ensure_future(follow(writer))
    await asyncio.sleep(0)
    await writer.abort()
    await writer.abort()
    with pytest.raises(Aborted):
        await following
    with pytest.raises(Aborted):
        await follow(writer)
    assert descriptors() == before - 1
    assert [path.name for path in store._keeping.folder.iterdir()] == ["gateway-one"]


async def test_a_committed_file_stays(store: FileStore) -> None:
    writer = await a_writer(store)
    await writer.write(b"abc")
    first = await writer.commit()
    assert await writer.commit() == first
    await writer.abort()
    assert await content(store, writer.id) == b"abc"


@pytest.mark.parametrize("room", [0, 1, 131_072, 200_000])
async def test_nothing_is_lost_when_the_disk_fails(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Every byte that was given to the writer can still be read, so that whoever bought the image gets it."""
    left = room

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal left
        if not left:
            raise OSError(28, "No space left on device")
        count = min(left, len(data), 60_000)
        left -= count
        return pwrite(descriptor, data[:count])

    pwrite = os.write
    monkeypatch.setattr("app.files.store.draft.os.write", write)
    writer = await a_writer(store)
    data, given, chunks = os.urandom(400_000), 0, list[bytes]()

    async def write_all() -> None:
        nonlocal given
        while given < len(data):
            given += 50_000
            await writer.write(data[given - 50_000 : given])

    async def follow_all() -> None:
        async for chunk in writer.follow():
            chunks.append(chunk)

    with pytest.raises(FilesUnavailable):
        await write_all()
    assert b"".join([chunk async for chunk in writer.follow(to_end=False)]) == data[:given]
    with pytest.raises(FilesUnavailable):
        await follow_all()
    assert b"".join(chunks) == data[:given]
    with pytest.raises(FilesUnavailable):
        await writer.commit()
    await writer.abort()


async def test_a_writer_that_was_cancelled_keeps_nothing(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread may have written a part of what was being written: nobody knows, so the file cannot become whole."""
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    append = Draft.append

    def slow(draft: Draft, data: bytearray) -> int:
        loop.call_soon_threadsafe(begun.set)
        return append(draft, data)

    monkeypatch.setattr(Draft, "append", slow)
    writer = await a_writer(store)
    writing = asyncio.ensure_future(writer.write(b"x" * 200_000))
    await begun.wait()
    writing.cancel()
    await asyncio.wait([writing])
    if writing.cancelled():
        with pytest.raises(FilesUnavailable):
            await writer.commit()
    await writer.abort()
