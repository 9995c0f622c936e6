"""The task that looks after files says when the gateways of a database keep theirs in different places."""

import asyncio
import logging
import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.errors import StoreUnavailable
from app.files.link_secrets import LinkSecrets
from app.files.store.store import FileStore
from app.files.upkeep import keep_up, look_first
from tests.files.store.making import Files, write
from tests.quotas.making import StillClock


async def test_it_says_when_files_are_not_shared_and_when_they_are_again(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = Files(engine, tmp_path / "files")
    store, links = files.make(), LinkSecrets(engine, StillClock(), 60)
    await store.start()
    rounds = iter([{"one"}, {"one", "elsewhere"}, {"one", "elsewhere"}, None, {"one"}])
    ended = asyncio.Event()
    sweep = FileStore.sweep

    async def next_round(self: FileStore) -> None:
        living = next(rounds, ())
        if living == ():
            ended.set()
            await asyncio.Event().wait()
        if living is None:
            raise StoreUnavailable("away")
        files.living = set(living)
        await sweep(self)

    monkeypatch.setattr(FileStore, "sweep", next_round)
    with caplog.at_level(logging.WARNING, "app.files.upkeep"):
        keeping = asyncio.ensure_future(keep_up(store, links, 0))
        await ended.wait()
        keeping.cancel()
    assert [record.message for record in caplog.records] == [
        "files_not_shared",
        "files_sweep_failed",
        "files_shared_again",
    ]
    await store.close()


async def test_the_first_look_tells_who_keeps_files_elsewhere_and_removes_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    files = Files(engine, tmp_path / "files", living={"one", "elsewhere"})
    store = files.make()
    await store.start()
    kept = await write(store, b"kept", seconds=1)
    files.later(2)
    await look_first(store)
    assert not store.is_shared
    assert (files.folder / kept.id).exists()
    shutil.rmtree(files.folder)
    await look_first(store)  # a folder that is away keeps nobody from starting
    await store.close()
