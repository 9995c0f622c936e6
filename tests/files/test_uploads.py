"""Uploads on disk: bounded, shared, and gone whatever happens."""

import asyncio
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from app.errors import Overloaded, UploadsFull
from app.files.uploads import UploadFile, Uploads


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Uploads]:
    uploads = Uploads(tmp_path / "uploads", 1_000_000, 600_000, 3)
    uploads.prepare()
    yield uploads
    uploads.close()


async def content(upload: UploadFile, offset: int, size: int) -> bytes:
    return b"".join([chunk async for chunk in upload.read(offset, size)])


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_what_was_written_is_read(uploads: Uploads) -> None:
    upload = await uploads.open("ann")
    data = os.urandom(500_000)
    for start in range(0, len(data), 77_777):
        await upload.write(data[start : start + 77_777])
    await upload.flush()
    assert (upload.size, uploads.bytes_count, uploads.count) == (500_000, 500_000, 1)
    assert await content(upload, 0, 500_000) == data
    assert await content(upload, 123, 200_000) == data[123:200_123]
    assert await upload.run(lambda read: read(499_999, 10)) == data[-1:]
    await upload.aclose()
    await upload.aclose()
    assert (uploads.bytes_count, uploads.count) == (0, 0)


async def test_pieces_of_any_size_are_written_in_order_and_each_part_has_its_digest(uploads: Uploads) -> None:
    """Large pieces are kept as they are, small ones are copied together: they must not overtake each other."""
    upload = await uploads.open("ann")
    parts = [
        [os.urandom(size) for size in sizes] for sizes in ([10, 140_000, 130_000, 5, 140_000], [], [3, 4], [140_000])
    ]
    for pieces in parts:
        for piece in pieces:
            await upload.write(memoryview(shared := bytearray(piece)))
            shared[:] = bytes(len(piece))  # whose view it was goes on using it
        assert await upload.take_digest() == blake3(b"".join(pieces)).digest()
    assert await content(upload, 0, upload.size) == b"".join(piece for pieces in parts for piece in pieces)
    await upload.aclose()


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="only Linux reads what is in memory alone")
async def test_what_is_in_memory_is_read_without_a_thread(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = await uploads.open("ann")
    await upload.write(data := os.urandom(400_000))
    await upload.flush()

    def preadv(descriptor: int, buffers: list[bytearray], offset: int, _: int) -> int:  # a tmpfs has no such flag
        buffers[0][:] = os.pread(descriptor, len(buffers[0]), offset)
        return len(buffers[0])

    def must_not_be_needed(_: int, __: int) -> bytes:
        raise AssertionError

    monkeypatch.setattr(os, "preadv", preadv)
    monkeypatch.setattr(upload, "_read", must_not_be_needed)
    assert await content(upload, 1, 399_998) == data[1:-1]
    await upload.aclose()


async def test_what_is_not_in_memory_is_read_by_a_thread(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says that it would have to wait, gives less than was asked for, or cannot say."""
    upload = await uploads.open("ann")
    await upload.write(data := os.urandom(590_000))
    await upload.flush()
    told = [errno.EAGAIN, 1000, errno.EOPNOTSUPP, 0]

    def preadv(descriptor: int, buffers: list[bytearray], offset: int, _: int) -> int:
        if (answer := told.pop(0) if told else errno.EAGAIN) in (errno.EAGAIN, errno.EOPNOTSUPP):
            raise OSError(answer, "not now")
        buffers[0][:answer] = os.pread(descriptor, answer, offset)
        return answer

    monkeypatch.setattr(os, "preadv", preadv)
    assert await content(upload, 0, 590_000) == data
    assert told == [0] or not hasattr(os, "RWF_NOWAIT")  # a disk that cannot say is not asked again
    await upload.aclose()


async def test_what_a_thread_still_holds_does_not_block_the_event_loop(uploads: Uploads) -> None:
    upload = await uploads.open("ann")
    await upload.write(b"x" * 200_000)
    await upload.flush()
    reading = asyncio.ensure_future(content(upload, 0, 200_000))
    with upload._lock:
        await asyncio.sleep(0.05)
        assert not reading.done()
    assert await reading == b"x" * 200_000
    await upload.aclose()


async def test_pieces_are_gathered_for_few_writes_and_never_many_bytes(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await uploads.open("ann")
    sizes, write = list[int](), os.write

    def counted(descriptor: int, data: memoryview) -> int:
        sizes.append(len(data))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", counted)
    await upload.write(b"x" * 200_000)
    assert sizes == []
    await upload.write(b"x" * 200_000)
    assert sizes == [200_000, 200_000]
    for _ in range(140_000 // 1000):
        await upload.write(b"x" * 1000)
    assert sizes[2:] == [132_000]
    await upload.aclose()


async def test_a_file_has_no_name_and_its_descriptor_is_closed(uploads: Uploads) -> None:
    await asyncio.sleep(0)
    upload = await uploads.open("ann")
    before = descriptors()
    await upload.write(b"x" * 200_000)
    assert list(uploads.folder.iterdir()) == []
    await upload.aclose()
    assert descriptors() == before - 1
    assert await content(upload, 0, 10) == b""


def test_what_a_dead_process_left_is_removed_and_a_folder_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "left").touch()
    (tmp_path / "lost+found").mkdir()
    Uploads(tmp_path, 1, 1, 1).prepare()
    assert [each.name for each in tmp_path.iterdir()] == ["lost+found"]


async def test_the_room_is_bounded_and_shared(uploads: Uploads) -> None:
    first, second = await uploads.open("ann"), await uploads.open("ann")
    await first.write(b"x" * 600_000)
    with pytest.raises(UploadsFull, match="your share"):
        await second.write(b"x")
    third = await uploads.open("bob")
    await third.write(b"x" * 400_000)
    with pytest.raises(UploadsFull, match="no room"):
        await third.write(b"x")
    with pytest.raises(Overloaded):
        await uploads.open("cid")
    for upload in (first, second, third):
        await upload.aclose()
    assert (uploads.bytes_count, uploads.count) == (0, 0)


async def test_a_full_disk_is_told_and_holds_nothing(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int, __: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    upload = await uploads.open("ann")
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UploadsFull, match="disk is full"):
        await upload.write(b"x" * 400_000)
    await upload.aclose()
    assert (uploads.bytes_count, uploads.count) == (0, 0)


async def test_a_folder_that_is_gone_is_told(uploads: Uploads) -> None:
    uploads.folder.rmdir()
    with pytest.raises(UploadsFull, match="disk failed"):
        await uploads.open("ann")
    assert uploads.count == 0


async def test_an_upload_that_is_cancelled_while_it_is_written_is_closed_after_the_write(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its descriptor may be another file's a moment after it is closed."""
    begun, go_on, order = asyncio.Event(), asyncio.Event(), list[str]()
    loop, write = asyncio.get_running_loop(), os.write

    def slow(descriptor: int, data: memoryview) -> int:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)
        order.append("written")
        return write(descriptor, data)

    upload = await uploads.open("ann")
    monkeypatch.setattr(os, "write", slow)
    writing = asyncio.ensure_future(upload.write(b"x" * 400_000))
    await begun.wait()
    writing.cancel()
    closing = asyncio.ensure_future(upload.aclose())
    closing.add_done_callback(lambda _: order.append("closed"))
    await asyncio.sleep(0)
    go_on.set()
    await closing
    assert order == ["written", "closed"]


def test_leftovers_are_removed_at_start(uploads: Uploads) -> None:
    (uploads.folder / "tmpabc").write_bytes(b"x")
    uploads.prepare()
    assert list(uploads.folder.iterdir()) == []
