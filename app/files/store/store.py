"""Keeps whole files for a time: bounded in all, found by an id that nobody can guess, gone when their time is over.

The bytes lie in a place (a folder or a bucket), the rows in the database. A row is written when the last byte is there,
and removed before the bytes are; bytes without a row are removed once they are old.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from app.database.readers import Readers
from app.errors import FilesUnavailable, StoreUnavailable
from app.files.store.disk import Disk
from app.files.store.draft import Draft, remove_dead_drafts
from app.files.store.index import Index, Kind, Owner, StoredFile
from app.files.store.place import Content, FilePlace
from app.files.store.sharing import mark_name, without_mark
from app.files.store.sweeping import Sweeper
from app.files.store.writer import FileWriter, Purpose

T = TypeVar("T")

_INDEX_AT_A_TIME = 2  # of the pool's 10 connections
_INDEX_SECONDS_MAX = 10.0
_CHECKED_SECONDS = 30.0  # how long a place that took a file counts as one that takes files
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Keeping:
    """How files are kept: written in `folder`, then moved to `place`. `instance` is this process; `living` gives all
    processes of the database, and blocks. `new_id` gives 128 random bits as hexadecimal digits.
    """

    place: FilePlace
    folder: Path
    instance: str
    living: Callable[[], Collection[str]]
    bytes_max: int
    new_id: Callable[[], str]
    clock: Callable[[], datetime]


class OpenFile:
    """One whole file. Read it with `chunks`, or close it."""

    def __init__(self, stored: StoredFile, content: Content, disk: Disk, read_bytes: int) -> None:
        self.stored = stored
        self.size = stored.size
        self.content_type = stored.content_type
        self.expires_at = stored.expires_at
        self.owner = stored.owner
        self._content = content
        self._disk = disk
        self._read_bytes = read_bytes

    @property
    def descriptor(self) -> int | None:
        """Of the file while it is open, where it lies on this machine: its bytes can be sent without reading them."""
        return self._content.descriptor

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` to `stop`, some at a time; then it is closed. Raises FilesUnavailable."""
        stop = self.size if stop is None else min(stop, self.size)
        try:
            while start < stop:
                count = min(self._read_bytes, stop - start)
                data = await self._disk.run(partial(self._content.read, start, count))
                if not data:
                    raise FilesUnavailable("The file is shorter than it was.")
                start += len(data)
                yield data
                del data  # not kept while the next ones are read
        finally:
            self.close()

    def close(self) -> None:
        """May be called more than once."""
        self._content.close()


class FileStore:
    """All files of one database, seen from one process. `start` it, and `close` it."""

    def __init__(self, keeping: Keeping, index: Index) -> None:
        self._keeping = keeping
        self._index = index
        self._disk = Disk()
        self._readers = Readers(_INDEX_AT_A_TIME, "files-index")
        self._writing: dict[str, int] = {}  # the files being written, and how many bytes they have
        self._checked_until = 0.0
        self._strangers: list[str] = []
        self._sweeper = Sweeper(keeping.place, keeping.folder, index, self._disk, self._ask)

    async def start(self) -> None:
        """Makes the place ready and shows the others that this process uses it. Raises FilesUnavailable: it works
        once the place does.
        """
        keeping = self._keeping
        await self._disk.run(partial(keeping.folder.mkdir, mode=0o700, parents=True, exist_ok=True))
        await self._disk.run(keeping.place.prepare)
        await self._disk.run(partial(keeping.place.mark, mark_name(keeping.instance)))
        await self._disk.run(partial(remove_dead_drafts, keeping.folder))

    async def close(self) -> None:
        """This process uses the place no longer."""
        try:
            await self._disk.run(partial(self._keeping.place.delete, mark_name(self._keeping.instance)))
        except FilesUnavailable:
            pass  # its mark stays, and the others remove it when it is old
        finally:
            self._disk.close()

    @property
    def is_shared(self) -> bool:
        """Whether every process of this database has the same files, as far as is known."""
        return not self._strangers

    def require_shared(self) -> None:
        """Raises FilesUnavailable unless every process has the same files: who asks for one may meet any of them."""
        if self._strangers:
            raise FilesUnavailable(
                "The gateways of this database do not share their files, so a link, or a job, could lead to one that "
                "does not have the image. Nothing was bought. Mount one volume as GATEWAY_DATA_DIR/files in all of "
                "them, or name a bucket in GATEWAY_FILES_URL."
            )

    async def create(self, kind: Kind, owner: Owner, request_id: str, content_type: str, seconds: float) -> FileWriter:
        """A new, empty file, which is kept for `seconds` once it is whole. End it with `commit` or `abort`. Raises
        FilesUnavailable where the disk, or the bucket, takes none.
        """
        await self._require_room()
        file_id = self._keeping.new_id()
        draft = await self._disk.run(partial(Draft, self._keeping.folder, file_id))
        self._writing[file_id] = 0
        return FileWriter(self, draft, file_id, Purpose(kind, owner, request_id, seconds), content_type)

    async def open(self, file_id: str) -> OpenFile | None:
        """The file of that id; None if there is none, or none any longer. Raises FilesUnavailable, StoreUnavailable."""
        if not _ID.fullmatch(file_id):
            return None
        stored = await self._ask(partial(self._index.find, file_id))
        if stored is None or stored.expires_at <= self._keeping.clock():
            return None
        content = await self._disk.run(partial(self._keeping.place.open, file_id))
        if content is None:
            return None
        if content.size != stored.size:  # a power cut, or somebody's hand
            content.close()
            return None
        return OpenFile(stored, content, self._disk, self._keeping.place.read_bytes)

    async def delete(self, file_id: str) -> None:
        """Does nothing if it is gone. Raises FilesUnavailable, StoreUnavailable."""
        if _ID.fullmatch(file_id):
            await self._sweeper.remove([file_id])

    async def sweep(self) -> None:
        """Removes what has expired, what is too much, and what nobody knows; looks which processes share the files.
        Call it now and then. Raises FilesUnavailable, StoreUnavailable.
        """
        now, living = self._keeping.clock(), await self.look()
        await self._sweeper.remove_expired(now)
        await self._evict()
        await self._sweeper.remove_unknown(now, living)

    async def look(self) -> Collection[str]:
        """Looks which processes share the files. Returns all that live. Raises FilesUnavailable, StoreUnavailable."""
        place, me = self._keeping.place, self._keeping.instance
        living = await self._ask(self._keeping.living)
        strangers = await self._disk.run(partial(without_mark, place, {me, *living}))
        if me in strangers:  # it was taken for dead
            await self._disk.run(partial(place.mark, mark_name(me)))
        self._strangers = [instance for instance in strangers if instance != me]
        return living

    async def total_bytes(self) -> int:
        """Of all whole files. Raises StoreUnavailable."""
        return await self._ask(self._index.total_bytes)

    def take(self, file_id: str, size: int) -> None:
        self._writing[file_id] += size
        if sum(self._writing.values()) > self._keeping.bytes_max:
            raise _no_room()

    async def append(self, draft: Draft, data: bytearray) -> int:
        return await self._disk.run(partial(draft.append, data))

    async def read(self, descriptor: int, offset: int, size: int) -> bytes:
        return await self._disk.read(descriptor, offset, size)

    async def keep(self, draft: Draft, writer: FileWriter, wait_seconds: float) -> StoredFile:
        purpose, now = writer.purpose, self._keeping.clock()
        stored = StoredFile(
            id=writer.id,
            kind=purpose.kind,
            owner=purpose.owner,
            request_id=purpose.request_id,
            size=writer.size,
            content_type=writer.content_type,
            created_at=now,
            expires_at=now + timedelta(seconds=purpose.seconds),
        )
        try:
            await self._disk.run(partial(self._keeping.place.put, draft.path, stored.id))
            await self._readers.run_until_answered(partial(self._index.add, stored), _INDEX_SECONDS_MAX, wait_seconds)
        except StoreUnavailable as error:
            raise FilesUnavailable(error.message) from error
        except FilesUnavailable:
            self._checked_until = 0.0  # the next one is asked first
            raise
        self._writing.pop(stored.id, None)
        with suppress(FilesUnavailable, StoreUnavailable):  # the sweep tries again
            await self._evict()
        self._disk.start(draft.close)  # last: until the writer has `stored`, others follow the draft
        return stored

    async def discard(self, draft: Draft, file_id: str) -> None:
        self._writing.pop(file_id, None)
        await self._disk.run(draft.close)

    async def kept(self, file_id: str) -> AsyncIterator[bytes]:
        file = await self.open(file_id)
        if file is None:
            raise FilesUnavailable("The file is gone.")
        async for chunk in file.chunks():
            yield chunk

    async def _require_room(self) -> None:
        """Raises FilesUnavailable where there is no room, or the place took no file when it was last asked."""
        if sum(self._writing.values()) >= self._keeping.bytes_max:
            raise _no_room()
        monotonic = asyncio.get_running_loop().time
        if monotonic() >= self._checked_until:
            await self._disk.run(self._keeping.place.check)
            self._checked_until = monotonic() + _CHECKED_SECONDS

    async def _evict(self) -> None:
        await self._sweeper.evict(self._keeping.bytes_max - sum(self._writing.values()))

    async def _ask(self, question: Callable[[], T]) -> T:
        return await self._readers.run(question, _INDEX_SECONDS_MAX)


def _no_room() -> FilesUnavailable:
    return FilesUnavailable("The gateway's room for files is full of files that are being written. Try again shortly.")
