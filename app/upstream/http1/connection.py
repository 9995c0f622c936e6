"""One connection to the server: a request goes out, its answer comes in, one chunk at a time. Knows no pool.

Nothing is read until the next chunk is asked for, so an answer uses one chunk of memory, whatever its size.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, cast

import httpx2

from app.upstream.http1.buffers import Buffers
from app.upstream.http1.framing import Body, Head, Malformed, take_head
from app.upstream.http1.origin import Origin
from app.upstream.http1.waiting import Waiter
from app.upstream.wire.chunks import Chunk

# A large read costs a quarter less CPU per byte than a small one, here and on the way to the client. But a chunk that
# waits for a slow client uses memory. So reads begin small, grow while they are filled and taken at once, and become
# small again when the client is slow.
READ_BYTES_MAX = 524_288
_READ_BYTES_MIN = 65_536
_SLOW_SECONDS = 0.05
_HEAD_READ_BYTES = 16_384  # what comes with a head is copied several times; nearly every head fits
# Below the 5 s after which uvicorn and Node close an idle connection. A request written into a connection that the
# server is closing has an unknown outcome. That costs more than a new connection every few seconds.
IDLE_SECONDS_MAX = 4.0
_WRITE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the connections of one pool share. Any connection's next read overwrites the current `received` buffer."""

    loop: asyncio.AbstractEventLoop
    silence_seconds: float
    on_free: Callable[["Connection"], None]
    on_lost: Callable[["Connection"], None]
    received: Buffers


class Connection(asyncio.BufferedProtocol):
    """Not a subclass of asyncio.Protocol: uvloop would allocate memory for each read.

    `busy` while it is lent: from `lend` until the answer was read whole or `end` was called. Then it is `usable` for
    the next request, or closed; its pool is notified.
    """

    def __init__(self, surroundings: Surroundings, origin: Origin) -> None:
        self.origin = origin
        self.busy = False
        self._asked = False
        self._surroundings = surroundings
        self._transport: asyncio.Transport | None = None
        self._waiter = Waiter(surroundings.loop, surroundings.silence_seconds, self._on_silence)
        self._unsent = memoryview(b"")
        self._streaming = False  # the body comes from a stream, and has not been sent whole
        self._writing_paused = False
        self._method = ""
        self._begun = b""  # the part of a head that has come
        self._head: Head | None = None
        self._body: Body | None = None
        self._chunk: Chunk | None = None
        self._read_bytes = _READ_BYTES_MIN  # how much the next read may take
        self._read_was_full = False
        self._taken_at = 0.0
        self._error: httpx2.TransportError | None = None
        # when it was made or last used for a request; being lent without a request does not count
        self.quiet_since = 0.0

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def fresh(self) -> bool:
        """Whether it is usable, and not idle for so long that the server may be about to close it."""
        return self.usable and self._surroundings.loop.time() - self.quiet_since < IDLE_SECONDS_MAX

    def touch(self) -> None:
        self.quiet_since = self._surroundings.loop.time()

    def lend(self) -> None:
        self.busy = True

    async def ask(self, method: str, head: bytes, body: bytes | AsyncIterator[bytes]) -> Head:
        """Writes a request and waits for the head of its answer. Whatever happens, some bytes may have been sent.

        A stream yields what is to be written, with its framing, and is asked for more as the server accepts it. Raises
        ReadTimeout, ReadError, RemoteProtocolError, and what the stream raises.
        """
        assert self.busy
        assert self.usable
        self._asked, self._method = True, method
        if not isinstance(body, bytes):
            self._write(head)
            await self._stream(body)
        elif len(body) <= _WRITE_BYTES:
            self._write(head + body)
        else:
            self._write(head)
            self._unsent = memoryview(body)
            self._push()
        if self._head is None and self._error is None:
            await self._waiter.wait()
        if self._head is None:
            raise self._error or httpx2.ReadError("The connection is gone.")
        return self._head

    async def read(self) -> Chunk | None:
        """The next bytes of the body; None if it ends without any. When it has ended, the connection is not `busy`.

        Raises ReadTimeout and ReadError.
        """
        body = self._body
        assert body is not None, "ask() first"
        if self._chunk is None and not body.complete and self._error is None:
            self._resume()
            await self._waiter.wait()
        chunk, self._chunk = self._chunk, None
        self._taken_at = self._surroundings.loop.time()
        if body.complete:
            self.end()
        elif chunk is None:
            raise self._error or httpx2.ReadError("The connection is gone.")
        return chunk

    def end(self) -> None:
        """The request is over. The connection can be used again if its answer came whole, or if nothing was sent over
        it; else it is dropped.
        """
        if not self.busy:
            return
        head, body = self._head, self._body
        whole = head is not None and body is not None and head.keeps and body.complete and not body.surplus
        if self._asked:
            self.touch()
            if not whole or self._unsent or self._streaming:
                self.drop()
        self.busy = self._asked = self._streaming = False
        self._head = self._body = self._error = None
        self._begun, self._chunk, self._unsent = b"", None, memoryview(b"")
        self._surroundings.on_free(self)

    def get_extra_info(self, name: str) -> Any:  # noqa: ANN401 - httpcore's signature, in its words
        """`socket`, `server_addr` or `ssl_object`; None if there is none."""
        if self._transport is None:
            return None
        return self._transport.get_extra_info("peername" if name == "server_addr" else name)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        self._fail(httpx2.ReadError("The connection was closed."))
        if self._transport is not None:
            self._transport.abort()

    # --- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are not its subclasses

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        size = _HEAD_READ_BYTES if self._body is None else self._read_bytes
        return memoryview(self._surroundings.received.current)[:size]

    def buffer_updated(self, nbytes: int) -> None:
        self._read_was_full = nbytes == self._read_bytes
        self._received(nbytes)

    def eof_received(self) -> None:
        """The server closed its side in good order; the transport closes itself afterwards."""
        if self._body is not None:
            self._body.end()
        self._fail(httpx2.ReadError("The server closed the connection."))
        self._waiter.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._waiter.close()
        self._fail(httpx2.ReadError("The connection is gone." if exc is None else type(exc).__name__))
        self._surroundings.on_lost(self)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._push()
        if self._streaming:
            self._waiter.wake()

    # --- in

    def _received(self, size: int) -> None:
        self._receive(self._surroundings.received, size)

    def _receive(self, buffers: Buffers, size: int) -> None:
        if not self._asked:
            self.drop()  # unrequested bytes: the next answer would not be ours
        elif self._error is not None:
            return
        elif self._body is None:
            self._receive_head(bytes(memoryview(buffers.current)[:size]))
        elif self._body.complete:
            self._body.surplus = True
        else:
            filled = self._body.feed(buffers.current, size)
            # mostly framing, which is read line by line: large reads would block the loop
            if filled < size // 2 > 4096:
                self._read_bytes, self._read_was_full = _READ_BYTES_MIN, False
            self._take(self._body, buffers.take(filled) if filled else None)

    def _receive_head(self, data: bytes) -> None:
        try:
            self._head, self._begun = take_head(self._begun + data, self._method)
        except Malformed as error:
            self._fail(httpx2.RemoteProtocolError(str(error)))
            return
        if self._head is not None:
            self._body, rest = self._head.body, self._begun
            self._begun = b""
            if rest:
                self._receive_rest(self._body, rest)
            self._waiter.wake()

    def _receive_rest(self, body: Body, rest: bytes) -> None:
        """Handles the bytes that came with the head."""
        if body.complete:
            body.surplus = True
            return
        data = bytearray(rest)
        size = body.feed(data, len(rest))
        self._take(body, Chunk(data, memoryview(data)[:size]) if size else None)

    def _take(self, body: Body, chunk: Chunk | None) -> None:
        self._chunk = chunk
        if body.fault:
            self._fail(httpx2.ReadError(body.fault))
        elif chunk is not None and not body.complete and self._transport is not None and self.usable:
            self._transport.pause_reading()
        if chunk is not None or body.complete:
            self._waiter.wake()

    def _resume(self) -> None:
        if self._surroundings.loop.time() - self._taken_at > _SLOW_SECONDS:
            self._read_bytes = _READ_BYTES_MIN
        elif self._read_was_full:
            self._read_bytes = min(2 * self._read_bytes, READ_BYTES_MAX)
        if self._transport is not None and self.usable:
            self._transport.resume_reading()

    # --- out

    def _write(self, data: bytes | memoryview) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _push(self) -> None:
        """Writes more while the server accepts it. It stops once the server has refused: writing into a connection that
        is being closed would lose the answer.
        """
        if self._is_refused():
            return
        while self._unsent and not self._writing_paused:
            piece, self._unsent = self._unsent[:_WRITE_BYTES], self._unsent[_WRITE_BYTES:]
            self._write(piece)

    async def _stream(self, pieces: AsyncIterator[bytes]) -> None:
        """As `_push`, for a body that is not in memory: asks for a piece only after the last one was sent."""
        self._streaming = True
        async for piece in pieces:
            while self._writing_paused and self._is_taken():
                await self._waiter.wait()
            if not self._is_taken():
                return
            self._write(piece)
        self._streaming = False

    def _is_refused(self) -> bool:
        return self._head is not None and self._head.status >= 300

    def _is_taken(self) -> bool:
        """Whether the server may still accept more of a body. Once its answer is whole, it needs none."""
        is_answered = self._body is not None and self._body.complete
        return self._error is None and self.usable and not is_answered and not self._is_refused()

    # --- failing

    def _on_silence(self) -> None:
        self._fail(httpx2.ReadTimeout("No byte came for too long."))

    def _fail(self, error: httpx2.TransportError) -> None:
        """The first reason stays. A whole answer cannot fail any more."""
        if self._asked and self._error is None and (self._body is None or not self._body.complete):
            self._error = error
            self._waiter.wake()
