"""What belongs to nobody is removed, and what might belong to somebody is left."""

import os
from pathlib import Path

from app.files.store.store import FileStore
from tests.files.store.making import Files, write

ORPHAN, FRESH = "a" * 32, "b" * 32


def age(path: Path, at: float) -> None:
    os.utime(path, (at, at))


async def test_old_files_without_a_row_are_removed(store: FileStore, files: Files) -> None:
    known = (await write(store, b"known", seconds=1e6)).id
    for name in (ORPHAN, FRESH, "gateway-dead", "somebody-elses"):
        (files.folder / name).write_bytes(b"x")
    old = files.clock.now.timestamp() - 3700
    for path in files.folder.iterdir():
        age(path, old)
    age(files.folder / FRESH, files.clock.now.timestamp() - 3500)
    await store.sweep()
    assert {path.name for path in files.folder.iterdir()} == {known, FRESH, "gateway-one", "somebody-elses"}


async def test_it_looks_once_an_hour(store: FileStore, files: Files) -> None:
    await store.sweep()
    (files.folder / ORPHAN).write_bytes(b"x")
    age(files.folder / ORPHAN, files.clock.now.timestamp() - 10_000)
    files.later(3500)
    await store.sweep()
    assert (files.folder / ORPHAN).exists()
    files.later(100)
    await store.sweep()
    assert not (files.folder / ORPHAN).exists()


async def test_many_expired_files_go_at_once(store: FileStore, files: Files) -> None:
    for _ in range(20):
        await write(store, b"x", seconds=1)
    files.later(2)
    await store.sweep()
    assert [path.name for path in files.folder.iterdir()] == ["gateway-one"]
