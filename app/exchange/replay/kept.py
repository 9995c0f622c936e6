"""An answer that is kept: its status and headers in the first line of a file, then its body, byte for byte."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple, cast

import orjson

from app.errors import FilesUnavailable
from app.files.store.index import Kind, Owner
from app.files.store.store import FileStore
from app.files.store.writer import FileWriter

_HEAD_BYTES_MAX = 65_536
# Of this request alone, or said anew with each answer.
_NOT_KEPT = (b"x-ratelimit-", b"content-length", b"x-request-id", b"retry-after", b"date")

_UNKNOWN = "application/octet-stream"

Headers = list[tuple[bytes, bytes]]


class KeptHead(NamedTuple):
    """What comes before the body."""

    status: int
    headers: Headers
    content_length: int | None

    @property
    def content_type(self) -> str:
        return next((value.decode() for name, value in self.headers if name == b"content-type"), "application/json")


class KeptAnswer(NamedTuple):
    """One kept answer, to be read once. `head_bytes`: how many of its file come before the body."""

    head: KeptHead
    body: AsyncGenerator[bytes]
    head_bytes: int = 0


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """The kept answers of all gateways, as far as this one reaches them."""

    files: FileStore

    async def draft(self, owner: Owner, request_id: str) -> FileWriter:
        """An empty file for `create`, made before anybody knows what goes into it. Raises FilesUnavailable."""
        return await self.files.create(Kind.ANSWER, owner, request_id, _UNKNOWN, 0)

    async def create(
        self, head: KeptHead, owner: Owner, request_id: str, seconds: float, draft: FileWriter | None = None
    ) -> FileWriter:
        """A file that has the head already: `draft`, or a new one. Write the body to it, then commit or abort it.
        Raises FilesUnavailable."""
        writer = draft or await self.draft(owner, request_id)
        writer.content_type, writer.purpose = head.content_type, writer.purpose._replace(seconds=seconds)
        try:
            await writer.write(_encoded(head))
        except BaseException:
            await writer.abort()
            raise
        return writer

    async def open(self, file_id: str) -> KeptAnswer | None:
        """None if it is gone, or kept where this process cannot reach it. Raises FilesUnavailable, StoreUnavailable."""
        file = await self.files.open(file_id)
        if file is None:
            return None
        answer = await read_kept(cast("AsyncGenerator[bytes]", file.chunks()))
        return answer._replace(head=answer.head._replace(content_length=file.size - answer.head_bytes))


def head_of(status: int, headers: Headers, content_length: int | None) -> KeptHead:
    """The head with what another request may be given of it."""
    return KeptHead(status, [each for each in headers if not each[0].startswith(_NOT_KEPT)], content_length)


async def read_kept(chunks: AsyncGenerator[bytes]) -> KeptAnswer:
    """The answer in a file, whole or growing. Raises FilesUnavailable for a file that is none."""
    begun = b""
    async for chunk in chunks:
        begun += chunk
        line, separator, rest = begun.partition(b"\n")
        if separator:
            return KeptAnswer(_decoded(line), _with_first(rest, chunks), len(line) + 1)
        if len(begun) > _HEAD_BYTES_MAX:
            break
    await chunks.aclose()
    raise FilesUnavailable("The file is not a kept answer.")


async def _with_first(first: bytes, chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(chunks):
        if first:
            yield first
        async for chunk in chunks:
            yield chunk
            del chunk  # not kept while the next one is read


def _encoded(head: KeptHead) -> bytes:
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in head.headers]
    return orjson.dumps({"status": head.status, "headers": headers, "length": head.content_length}) + b"\n"


def _decoded(line: bytes) -> KeptHead:
    fields = orjson.loads(line)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields["headers"]]
    return KeptHead(fields["status"], headers, fields["length"])
