"""Sends an answer as its directives say: late, slowly, in part, or not at all. Notices when the client leaves. Never
decides what is charged.
"""

import zlib
from collections.abc import Iterator
from typing import Final

import anyio
import anyio.lowlevel
from starlette.types import Receive, Send

from app.sandbox.answers.bodies import Answer
from app.sandbox.answers.connection import BreakableConnection
from app.sandbox.images.runs import CHUNK_BYTES, run_chunks
from app.sandbox.options import SandboxOptions
from app.sandbox.requests.directives import Directives

_COMMENT: Final = b": ZENMUX PROCESSING\n\n"
_CLOSING_SECONDS_MAX: Final = 30.0  # for a client that does not read what it was sent before the close
_INTERNAL_HEADERS: Final = (
    (b"set-cookie", b"__cf_bm=sandbox-cookie; path=/; HttpOnly"),
    (b"server", b"sandbox-edge"),
    (b"via", b"1.1 sandbox-internal-proxy"),
    (b"openai-organization", b"org-sandbox-internal"),
    (b"openai-project", b"proj_sandbox_internal"),
    (b"openai-processing-ms", b"1234"),
    (b"x-request-id", b"req_sandbox_provider"),
    (b"x-server-id", b"sandbox-server-7"),
    (b"x-envoy-upstream-service-time", b"1234"),
    (b"cf-ray", b"0123456789abcdef-SBX"),
    (b"x-ratelimit-remaining-requests", b"4999"),
)


class Line:
    """The connection to one client. `gone` is set once the client is known to have left."""

    def __init__(self, send: Send, connection: BreakableConnection | None, options: SandboxOptions) -> None:
        self.gone = anyio.Event()
        self._send = send
        self._connection = connection
        self._options = options
        self._gzip: zlib._Compress | None = None

    @property
    def breakable(self) -> bool:
        return self._connection is not None

    async def watch(self, receive: Receive) -> None:
        """Sets `gone` when the client leaves. Runs beside the work; the request must have been read completely."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()

    async def wait(self, seconds: float, *, comments: bool = False) -> None:
        """Waits, or until the client leaves. With `comments` the stream sends a comment from time to time."""
        step = self._options.comment_seconds if comments else seconds
        while seconds > 0 and not self.gone.is_set():
            with anyio.move_on_after(min(step, seconds)):
                await self.gone.wait()
            seconds -= step
            if comments and seconds > 0:
                await self.write(_COMMENT)

    async def head(self, answer: Answer, directives: Directives) -> None:
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        headers.append((b"content-type", answer.media_type.encode()))
        if answer.is_stream:
            headers.append((b"cache-control", b"no-cache"))
        elif not (directives.gzip or directives.chunked):
            headers.append((b"content-length", str(answer.length).encode()))
        if directives.gzip:
            headers.append((b"content-encoding", b"gzip"))
            self._gzip = zlib.compressobj(level=1, wbits=31)
        if directives.headers:
            headers.extend(_INTERNAL_HEADERS)
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})

    async def write(self, body: bytes) -> None:
        if self._gzip is not None:
            # Flushed at every chunk, because an event that was sent must arrive.
            body = self._gzip.compress(body) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self) -> None:
        rest = b"" if self._gzip is None else self._gzip.flush()
        await self._send({"type": "http.response.body", "body": rest, "more_body": False})

    async def stall(self) -> bool:
        """Sends nothing until the client leaves or the maximum time passes, then closes. Returns whether the client
        left.
        """
        await self.wait(self._options.stall_seconds_max)
        left = self.gone.is_set()
        await self.close()
        return left

    async def close(self) -> None:
        """Breaks off: what was written arrives, nothing after it."""
        if self._connection is not None and not self.gone.is_set():
            self._connection.close()
            await self.wait(_CLOSING_SECONDS_MAX)

    async def reset(self) -> None:
        """Breaks off with a TCP reset."""
        if self._connection is not None:
            self._connection.reset()
            await self.wait(_CLOSING_SECONDS_MAX)


async def deliver(answer: Answer, directives: Directives, line: Line) -> bool:
    """Send `answer`. False when the client left before the last byte of what it was to get."""
    await line.head(answer, directives)
    share = directives.cut if directives.cut is not None else directives.stall
    left = answer.length if share is None else int(answer.length * share)
    for chunk in _paced_chunks(answer, directives):
        if chunk is None:
            await line.wait(directives.gap_seconds, comments=answer.is_stream)
            continue
        if line.gone.is_set():
            return False
        piece = chunk[:left]
        left -= len(piece)
        await line.write(piece)
        # After a client has left, writing does not wait; without a pause the watcher would never run.
        await anyio.lowlevel.checkpoint()
        if share is not None and left == 0:
            break
        if directives.bytes_per_second is not None:
            await line.wait(len(piece) / directives.bytes_per_second)
    if line.gone.is_set():
        return False
    if directives.stall is not None:
        return not await line.stall()
    if directives.cut is not None:
        await line.close()
    else:
        await line.end()
    return True


def _paced_chunks(answer: Answer, directives: Directives) -> Iterator[bytes | None]:
    """The body in chunks; None is a gap. A stream has gaps before events, any other body before chunks."""
    chunk_bytes = CHUNK_BYTES
    if directives.bytes_per_second is not None:
        chunk_bytes = max(1, min(CHUNK_BYTES, directives.bytes_per_second // 10))
    for part in answer.parts:
        if answer.is_stream:
            yield None
        for chunk in run_chunks(part, chunk_bytes):
            if not answer.is_stream:
                yield None
            yield chunk
