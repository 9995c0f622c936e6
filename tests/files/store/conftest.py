"""A store of files on a database of each kind, with a clock that stands still."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.files.store.store import FileStore
from tests.files.store.making import Files


@pytest.fixture
def files(engine: Engine, tmp_path: Path) -> Files:
    return Files(engine, tmp_path / "files")


@pytest.fixture
async def store(files: Files) -> AsyncIterator[FileStore]:
    store = files.make()
    await store.start()
    yield store
    await store.close()
