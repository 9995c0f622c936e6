"""The store of files: found by id, bounded, expiring, shared or not, on a disk that may be full."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from app.errors import FilesUnavailable
from app.files.store.index import Kind
from app.files.store.store import FileStore
from tests.files.store.making import ANN, Files, content, write

UNKNOWN = "f" * 32


async def test_a_file_is_found_by_its_id(store: FileStore, files: Files) -> None:
    data = os.urandom(300_000)
    written = await write(store, data)
    file = await store.open(written.id)
    assert file is not None
    assert (file.size, file.content_type, file.owner) == (300_000, "image/png", ANN)
    assert (file.expires_at - files.clock.now).total_seconds() == 60
    assert await content(store, written.id, 131_000, 131_100) == data[131_000:131_100]
    assert await content(store, written.id, 299_999, 400_000) == data[-1:]
    file.close()
    file.close()
    assert await store.total_bytes() == 300_000


@pytest.mark.parametrize(
    "file_id", [UNKNOWN, "", "../one", "gateway-one", "0" * 31, "A" * 32, "0" * 33, "0" * 31 + "/"]
)
async def test_no_other_word_finds_anything(store: FileStore, file_id: str) -> None:
    assert await store.open(file_id) is None
    await store.delete(file_id)
    assert (store._keeping.folder / "gateway-one").exists()


async def test_a_deleted_file_is_gone_but_not_for_those_who_read_it(store: FileStore) -> None:
    data = os.urandom(400_000)
    written = await write(store, data)
    file = await store.open(written.id)
    assert file is not None
    chunks = file.chunks()
    got = await anext(chunks)
    await store.delete(written.id)
    await store.delete(written.id)
    assert await store.open(written.id) is None
    async for chunk in chunks:
        got += chunk
    assert got == data


async def test_what_has_expired_is_not_found_and_then_removed(store: FileStore, files: Files) -> None:
    short, long = await write(store, b"short", seconds=10), await write(store, b"long", seconds=20)
    files.later(10)
    assert await store.open(short.id) is None
    await store.sweep()
    assert {path.name for path in files.folder.iterdir()} == {long.id, "gateway-one"}
    assert await store.total_bytes() == 4


async def test_the_oldest_go_first_and_never_one_that_is_written(files: Files) -> None:
    files.bytes_max = 1000
    store = files.make()
    await store.start()
    growing = await store.create(Kind.IMAGE, ANN, "req_1", "image/png", 60)
    await growing.write(b"g" * 300)
    ids = []
    for _ in range(5):
        ids.append((await write(store, b"x" * 300)).id)
        files.later(1)
    kept = [file_id for file_id in ids if await store.open(file_id)]
    assert kept == ids[-2:]  # with the one that grows: 900 of 1000 bytes
    await growing.commit()
    assert await content(store, growing.id) == b"g" * 300
    assert await store.total_bytes() == 900
    await store.close()


async def test_more_is_not_written_than_there_is_room_for(files: Files) -> None:
    files.bytes_max = 1000
    store = files.make()
    await store.start()
    writer = await store.create(Kind.IMAGE, ANN, "req_1", "image/png", 60)
    await writer.write(b"x" * 1000)
    with pytest.raises(FilesUnavailable, match="being written"):
        await store.create(Kind.IMAGE, ANN, "req_2", "image/png", 60)
    with pytest.raises(FilesUnavailable, match="being written"):
        await writer.write(b"y")
    await writer.abort()
    assert await content(store, (await write(store, b"z" * 1000)).id) == b"z" * 1000
    await store.close()


async def test_a_file_that_was_cut_is_not_given_out(store: FileStore, files: Files) -> None:
    written = await write(store, b"x" * 1000)
    os.truncate(files.folder / written.id, 999)
    assert await store.open(written.id) is None
    (files.folder / written.id).unlink()
    assert await store.open(written.id) is None


async def test_a_full_disk_is_noticed_before_anything_is_written(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = os.statvfs(store._keeping.folder)
    full = os.statvfs_result([*usual[:4], 10, *usual[5:]])
    monkeypatch.setattr("app.files.store.folder.os.statvfs", lambda _: full)
    with pytest.raises(FilesUnavailable, match="is full"):
        await store.create(Kind.IMAGE, ANN, "req_1", "image/png", 60)


async def test_a_folder_that_cannot_be_written_is_noticed(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("app.files.store.draft.os.open", refuse)
    with pytest.raises(FilesUnavailable, match="does not answer"):
        await store.create(Kind.IMAGE, ANN, "req_1", "image/png", 60)


async def test_a_failing_commit_leaves_the_bytes_readable(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    writer = await store.create(Kind.IMAGE, ANN, "req_1", "image/png", 60)
    await writer.write(b"x" * 200_000)
    monkeypatch.setattr(type(store._keeping.place), "put", refuse)
    with pytest.raises(FilesUnavailable):
        await writer.commit()
    assert b"".join([chunk async for chunk in writer.follow(to_end=False)]) == b"x" * 200_000
    await writer.abort()
    assert await store.open(writer.id) is None


async def test_a_new_process_finds_what_the_last_one_kept(files: Files) -> None:
    first = files.make("one")
    await first.start()
    written = await write(first, b"kept")
    await first.close()
    second = files.make("two")
    await second.start()
    assert await content(second, written.id) == b"kept"
    await second.close()


async def test_two_that_share_a_folder_see_each_others_files(files: Files) -> None:
    files.living = {"one", "two"}
    one, two = files.make("one"), files.make("two")
    await one.start()
    await two.start()
    for store in (one, two):
        await store.sweep()
        store.require_shared()
    assert await content(two, (await write(one, b"of one")).id) == b"of one"
    await one.close()
    await two.close()


async def test_two_that_do_not_share_a_folder_both_know_it(files: Files, tmp_path: Path) -> None:
    files.living = {"one", "two"}
    one, two = files.make("one"), files.make("two", tmp_path / "elsewhere")
    await one.start()
    await two.start()
    for store in (one, two):
        await store.sweep()
        assert not store.is_shared
        with pytest.raises(FilesUnavailable, match="GATEWAY_FILES_URL"):
            store.require_shared()
    files.living = {"one"}
    await one.sweep()
    one.require_shared()
    await one.close()
    await two.close()


async def test_a_process_that_was_taken_for_dead_shows_itself_again(store: FileStore, files: Files) -> None:
    (files.folder / "gateway-one").unlink()
    await store.sweep()
    assert (files.folder / "gateway-one").exists()
    assert store.is_shared


async def test_the_event_loop_does_not_wait_for_the_disk(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk hangs in a write, other tasks run."""
    hanging, go_on = asyncio.Event(), threading.Event()
    loop, write_really = asyncio.get_running_loop(), os.write

    def hang(descriptor: int, data: memoryview) -> int:
        loop.call_soon_threadsafe(hanging.set)
        go_on.wait(20)
        return write_really(descriptor, data)

    monkeypatch.setattr("app.files.store.draft.os.write", hang)
    writer = await store.create(Kind.IMAGE, ANN, "req_1", "image/png", 60)
    writing = asyncio.ensure_future(writer.write(b"x" * 200_000))
    await hanging.wait()
    go_on.set()
    await writing
    await writer.abort()
