"""What tests of the store of files are made of."""

import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from app.files.store.folder import Folder
from app.files.store.index import Index, Kind, Owner
from app.files.store.store import FileStore, Keeping
from app.files.store.writer import FileWriter
from tests.quotas.making import StillClock

ANN = Owner("key_ann", "user_ann")


@dataclass
class Files:
    """What tests of a store need."""

    engine: Engine
    folder: Path
    clock: StillClock = field(default_factory=StillClock)
    living: set[str] = field(default_factory=lambda: {"one"})
    bytes_max: int = 10_000_000
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def make(self, instance: str = "one", folder: Path | None = None) -> FileStore:
        place = folder or self.folder
        keeping = Keeping(
            place=Folder(place),
            folder=place,
            instance=instance,
            living=lambda: self.living,
            bytes_max=self.bytes_max,
            new_id=lambda: f"{next(self.numbers):032x}",
            clock=self.clock,
        )
        return FileStore(keeping, Index(self.engine))

    def later(self, seconds: float) -> datetime:
        self.clock.now += timedelta(seconds=seconds)
        return self.clock.now


async def write(store: FileStore, data: bytes, *, seconds: float = 60) -> FileWriter:
    """A whole file of these bytes."""
    writer = await store.create(Kind.IMAGE, ANN, "req_1", "image/png", seconds)
    await writer.write(data)
    await writer.commit()
    return writer


async def content(store: FileStore, file_id: str, start: int = 0, stop: int | None = None) -> bytes | None:
    """What that file holds; None if there is none."""
    file = await store.open(file_id)
    return None if file is None else b"".join([chunk async for chunk in file.chunks(start, stop)])
