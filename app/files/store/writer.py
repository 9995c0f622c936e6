"""Writes one file, which others may read while it grows. In memory there is at most what is on its way to the disk,
whatever the size of the file.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple, Protocol

from app.errors import FilesUnavailable
from app.files.store.draft import Draft
from app.files.store.index import Kind, Owner, StoredFile

_GATHERED_BYTES = 65_536  # what is gathered before it is written
_READ_BYTES = 131_072


class Aborted(Exception):
    """The file that was followed will never be whole."""


class Purpose(NamedTuple):
    """What a file is for: for whose request, and for how long once it is whole."""

    kind: Kind
    owner: Owner
    request_id: str
    seconds: float


class Keeper(Protocol):
    """What a writer asks of its store."""

    def take(self, file_id: str, size: int) -> None:
        """Counts so many bytes more that are being written. Raises FilesUnavailable where there is no room."""
        ...

    async def append(self, draft: Draft, data: bytearray) -> int:
        """How many bytes of `data` were written: less than all where the disk failed."""
        ...

    async def read(self, descriptor: int, offset: int, size: int) -> bytes: ...

    async def keep(self, draft: Draft, writer: "FileWriter", wait_seconds: float) -> StoredFile:
        """Makes the whole draft a file of the store. Waits so long for the database. Raises FilesUnavailable."""
        ...

    async def discard(self, draft: Draft, file_id: str) -> None: ...

    def kept(self, file_id: str) -> AsyncIterator[bytes]:
        """The bytes of a whole file. Raises FilesUnavailable where it is gone."""
        ...


class FileWriter:
    """One file that is being written. One task writes; any number follow.

    End it with `commit` or `abort`: `abort` does nothing after `commit`. `content_type` may be set until then.
    """

    def __init__(self, keeper: Keeper, draft: Draft, file_id: str, purpose: Purpose, content_type: str) -> None:
        self.id = file_id
        self.purpose = purpose
        self.content_type = content_type
        self.size = 0
        self._keeper = keeper
        self._draft = draft
        self._written = 0  # bytes on the disk
        self._writing = bytearray()  # then these, which a thread writes
        self._gathered = bytearray()  # then these
        self._failed = False
        self._stored: StoredFile | None = None
        self._is_aborted = False
        self._grew = asyncio.Event()

    async def write(self, chunk: bytes | memoryview) -> None:
        """Adds `chunk`, and does not keep it. Raises FilesUnavailable where the disk does not take it; what was added
        before, and `chunk`, can be followed even then.
        """
        assert not self._is_aborted, "written after its end"
        assert self._stored is None, "written after its end"
        if self._failed:
            raise _unavailable()
        self._gathered += chunk
        self.size += len(chunk)
        self._wake()
        self._take(len(chunk))
        if len(self._gathered) >= _GATHERED_BYTES:
            await self._flush()

    async def commit(self, wait_seconds: float = 0) -> StoredFile:
        """The file is whole: others find it from now on. Waits so long for a database that is away. Raises
        FilesUnavailable; it can be followed even then, until it is aborted.
        """
        if self._stored is None:
            if self._failed:
                raise _unavailable()
            await self._flush()
            try:
                self._stored = await self._keeper.keep(self._draft, self, wait_seconds)
            except BaseException:
                self._failed = True
                raise
            finally:
                self._wake()
        return self._stored

    async def abort(self) -> None:
        """The file will never be whole, and its bytes are gone, except for those who hold it open."""
        if self._stored is None and not self._is_aborted:
            self._is_aborted = True
            self._wake()
            await asyncio.shield(self._keeper.discard(self._draft, self.id))

    async def follow(self, *, to_end: bool = True) -> AsyncGenerator[bytes]:
        """The bytes so far, then those that come, until the file is whole. Raises Aborted if it never will be, and
        FilesUnavailable if the disk failed: after every byte that was added. Without `to_end` only the bytes so far.
        """
        if self._stored is not None:
            async for data in self._keeper.kept(self.id):
                yield data
            return
        if self._is_aborted:
            raise Aborted
        offset, end = 0, None if to_end else self.size
        descriptor = self._draft.reader()
        try:
            while True:
                limit = self.size if end is None else end
                if offset < min(limit, self._written):
                    count = min(_READ_BYTES, min(limit, self._written) - offset)
                    data = await self._keeper.read(descriptor, offset, count)
                    if not data:
                        raise _unavailable()
                elif offset < limit:
                    start = offset - self._written
                    data = bytes((self._writing + self._gathered)[start : limit - self._written])
                elif end is not None or self._stored is not None:
                    return
                elif self._is_aborted:
                    raise Aborted
                elif self._failed:
                    raise _unavailable()
                else:
                    await self._grew.wait()
                    continue
                yield data
                offset += len(data)
        finally:
            os.close(descriptor)

    def _take(self, size: int) -> None:
        try:
            self._keeper.take(self.id, size)
        except FilesUnavailable:
            self._failed = True
            self._wake()
            raise

    async def _flush(self) -> None:
        self._writing, self._gathered = self._gathered, bytearray()
        try:
            written = await self._keeper.append(self._draft, self._writing)
        except BaseException:  # cancelled: what the thread has written by now, nobody knows
            self._failed = True
            raise
        self._written += written
        del self._writing[:written]
        if self._writing:
            self._failed = True
            self._wake()
            raise _unavailable()

    def _wake(self) -> None:
        grew, self._grew = self._grew, asyncio.Event()
        grew.set()


def _unavailable() -> FilesUnavailable:
    return FilesUnavailable("The gateway's disk for files is full or does not answer.")
