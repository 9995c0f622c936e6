"""HTTPX's own transport within the bounds of ours: no server holds the event loop, or sends heads and framing for ever.

What it is built on parses all that a read brought without a pause, bounds neither the headers nor the interim answers,
and needs quadratic time for many blanks in a bad header. So reads are small and looked at first.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx2

_HEAD_READ_BYTES = 4_096
_BODY_READ_BYTES = 65_536
_HEAD_BYTES_MAX = 65_536
_HEAD_LINES_MAX = 1_000  # with those of the interim answers
_FRAMING_BYTES_MAX = 16_384  # in reads that bring no piece of the body
_BLANKS_MAX = 2_048
_BLANKS = re.compile(rb"[ \t]{16,}")  # linear, unlike {2048}
_LAST_CHUNK = re.compile(rb"\n0+(?![0-9A-Fa-f])")  # some write 0800 for the size of another
_LINES_FEW = 32
_PIECES_IN_A_ROW = 64  # about 5 ms


class StockTransport(httpx2.AsyncHTTPTransport):
    """HTTP/1.1 only. Raises RemoteProtocolError for what goes beyond the bounds."""

    def __init__(self, tls: ssl.SSLContext, limits: httpx2.Limits, proxy: httpx2.Proxy | None) -> None:
        super().__init__(verify=tls, trust_env=False, proxy=proxy, limits=limits)
        pool: Any = self._pool
        backend = pool._network_backend  # noqa: SLF001 - an argument of httpcore's that HTTPX does not hand on
        pool._network_backend = _Backend(backend)  # noqa: SLF001 - as above

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        connection = response.extensions["network_stream"]
        # Otherwise it has been upgraded, which nobody asked for, and has no body.
        if isinstance(connection, _Connection) and isinstance(response.stream, httpx2.AsyncByteStream):
            connection.framing.head_came()
            response.stream = _Body(response.stream, connection.framing)
        return response


class Framing:
    """What came since the last piece of a body. Pure."""

    def __init__(self) -> None:
        self.in_head = True
        self._kept = b""  # the whole head; of a body, the end of what came
        self._unexplained_bytes = 0
        self._last_chunk_may_be_there = False

    @property
    def read_bytes(self) -> int:
        """How much the next read may take."""
        if self.in_head:
            return _HEAD_READ_BYTES
        may_be_framing = self._unexplained_bytes or self._last_chunk_may_be_there
        return _FRAMING_BYTES_MAX if may_be_framing else _BODY_READ_BYTES

    def take(self, data: bytes) -> None:
        """Call it before anybody parses `data`, and only once nothing is left to parse of what came before. Raises
        RemoteProtocolError.
        """
        if self.in_head and (len(self._kept) > _HEAD_BYTES_MAX or self._kept.count(b"\n") > _HEAD_LINES_MAX):
            raise httpx2.RemoteProtocolError("The headers are too large, or too many.")
        if not self.in_head and self._unexplained_bytes > _FRAMING_BYTES_MAX:
            raise httpx2.RemoteProtocolError("There are no bytes of a body between those of its framing.")
        self._unexplained_bytes += len(data)
        if self.in_head:
            self._take_head(data)
        else:
            self._take_body(data)

    def head_came(self) -> None:
        self.in_head = False
        self._last_chunk_may_be_there = _last_chunk(self._kept) >= 0
        self._kept = self._kept[-_BLANKS_MAX:]
        self.piece_came()

    def piece_came(self) -> None:
        self._unexplained_bytes = 0

    def _take_head(self, data: bytes) -> None:
        """A body's beginning may be among it, and may have as many blanks as it likes."""
        looked_at, self._kept = max(0, len(self._kept) - _BLANKS_MAX), self._kept + data
        for at in _blanks(self._kept, looked_at):
            before = self._kept[:at]
            if before.rpartition(b"\r\n\r\n")[2].startswith(b"HTTP/") or _last_chunk(before) >= 0:
                raise httpx2.RemoteProtocolError("A header has too many blanks.")

    def _take_body(self, data: bytes) -> None:
        """Blanks count from where the last chunk, and so a trailer, may have begun: no image has a line there."""
        text, begin = self._kept + data, 0
        if not self._last_chunk_may_be_there:
            begin = _last_chunk(text)
            self._last_chunk_may_be_there = begin >= 0
        if self._last_chunk_may_be_there and any(True for _ in _blanks(text, begin)):
            raise httpx2.RemoteProtocolError("A trailer has too many blanks.")
        self._kept = text[-_BLANKS_MAX:] if self._last_chunk_may_be_there else text[-1:]


def _last_chunk(text: bytes) -> int:
    """Where the last chunk may begin; -1 if nowhere. Most bodies have few lines. Finding the end of each, a single
    byte, is many times faster than a search.
    """
    at = -1
    for _ in range(_LINES_FEW):
        at = text.find(b"\n", at + 1)
        if at < 0 or _LAST_CHUNK.match(text, at):
            return at
    found = _LAST_CHUNK.search(text, at)
    return -1 if found is None else found.start()


def _blanks(text: bytes, begin: int) -> list[int]:
    """Where the runs of blanks begin that are too long."""
    return [found.start() for found in _BLANKS.finditer(text, begin) if found.end() - found.start() >= _BLANKS_MAX]


class _Body(httpx2.AsyncByteStream):
    """Lets other tasks run between its pieces, of which one read may bring thousands."""

    def __init__(self, stream: httpx2.AsyncByteStream, framing: Framing) -> None:
        self._stream = stream
        self._framing = framing

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        pieces: Any = aiter(self._stream)
        async with aclosing(pieces):
            async for piece in pieces:
                self._framing.piece_came()
                count += 1
                if count % _PIECES_IN_A_ROW == 0:
                    await asyncio.sleep(0)
                yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Connection:
    """A connection of httpcore, in its words, with the framing of the answer to what was written last."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - httpcore's types are HTTPX's dependency, not ours
        self._stream = stream
        self.framing = Framing()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - its signature
        if self.framing.in_head:
            await asyncio.sleep(0)  # of what TLS has decrypted, the next part comes without a pause
        data: bytes = await self._stream.read(min(max_bytes, self.framing.read_bytes), timeout)
        self.framing.take(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - its signature
        self.framing = Framing()
        await self._stream.write(buffer, timeout)

    async def start_tls(self, *arguments: Any, **named: Any) -> "_Connection":  # noqa: ANN401 - as above
        return _Connection(await self._stream.start_tls(*arguments, **named))

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as above
        return self._stream.get_extra_info(info)


class _Backend:
    """Makes connections for httpcore."""

    def __init__(self, backend: Any) -> None:  # noqa: ANN401 - as above
        self._backend = backend

    async def connect_tcp(self, *arguments: Any, **named: Any) -> _Connection:  # noqa: ANN401 - as above
        return _Connection(await self._backend.connect_tcp(*arguments, **named))

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)
