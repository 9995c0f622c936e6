"""Removes files: those whose time is over, the oldest where there are too many, and what no row knows."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from app.files.store.disk import Disk
from app.files.store.draft import remove_dead_drafts
from app.files.store.index import Index
from app.files.store.place import FilePlace
from app.files.store.sharing import instance_of

_ORPHAN_SECONDS = 3600.0  # bytes without a row that are older wait for none
_LOOKED_FOR_EVERY = timedelta(hours=1)
_NAMES_AT_A_TIME = 500
_ID = re.compile(r"[0-9a-f]{32}")

Ask = Callable[[Callable[[], Any]], Awaitable[Any]]


class Sweeper:
    """Removes files of one place. `ask` runs what asks the database. Every method may raise FilesUnavailable and
    StoreUnavailable; what it did not remove then, the next call does.
    """

    def __init__(self, place: FilePlace, folder: Path, index: Index, disk: Disk, ask: Ask) -> None:
        self._place = place
        self._folder = folder
        self._index = index
        self._disk = disk
        self._ask = ask
        self._evicting = asyncio.Lock()
        self._looked_at: datetime | None = None  # when unknown files were looked for

    async def remove(self, ids: Sequence[str]) -> None:
        """First the rows, so that nobody is sent to what is gone."""
        await self._ask(partial(self._index.remove, ids))
        await self._disk.run(partial(self._delete, ids))

    async def remove_expired(self, now: datetime) -> None:
        while ids := await self._ask(partial(self._index.expired, now)):
            await self.remove(ids)

    async def evict(self, bytes_max: int) -> None:
        """Removes the oldest files until those that remain have at most `bytes_max`."""
        async with self._evicting:
            excess = await self._ask(self._index.total_bytes) - bytes_max
            while excess > 0:
                ids = await self._ask(partial(self._index.oldest, excess))
                if not ids:
                    return
                await self.remove(ids)
                excess = await self._ask(self._index.total_bytes) - bytes_max

    async def remove_unknown(self, now: datetime, living: Collection[str]) -> None:
        """Once an hour: files and marks that belong to nobody. A file without a name of ours is left alone."""
        if self._looked_at is None or now - self._looked_at >= _LOOKED_FOR_EVERY:
            self._looked_at = now
            await self._disk.run(partial(remove_dead_drafts, self._folder))
            await self._disk.run(partial(self._remove_unknown, now.timestamp() - _ORPHAN_SECONDS, living))

    def _remove_unknown(self, written_before: float, living: Collection[str]) -> None:
        old = (found.name for found in self._place.list() if found.written_at < written_before)
        while names := list(islice(old, _NAMES_AT_A_TIME)):
            ids = [name for name in names if _ID.fullmatch(name)]
            marks = [name for name in names if (instance := instance_of(name)) is not None and instance not in living]
            known = self._index.known(ids)
            self._delete([*marks, *(file_id for file_id in ids if file_id not in known)])

    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            self._place.delete(name)
