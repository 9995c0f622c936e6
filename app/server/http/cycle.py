"""One request and its answer on a connection: uvicorn's, with faults in our own envelope, answers for HTTP/1.0, and
parts of files that the kernel sends itself (ASGI's extension `http.response.zerocopysend`).
"""

import asyncio
import socket
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.errors import GatewayError
from app.server.http.bounds import Hooks
from app.server.http.file_sending import FileSender, wake_up, writable

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

FILE_PART = "http.response.zerocopysend"
_ENDLESS = 2**62
_LONG_BODY_BYTES = 1_048_576
# Closing resets the connection, or closes it after the data that is still to be sent, as before.
_RESET = struct.pack("ii", 1, 0)
_NO_RESET = struct.pack("ii", 0, 0)


class Cycle(RequestResponseCycle):
    """Answers with `hooks` if the app ended without an answer."""

    hooks = Hooks()
    files: FileSender
    unsent = 0  # of a part of a file
    leaves_unread = False  # the answer ends the connection, because much of the body may still be on its way
    _wake: asyncio.Future[None] | None = None

    async def send(self, message: "ASGISendEvent") -> None:
        """Returns once the caller has taken most of it: until then the app reads nothing more of an answer. So one
        chunk waits in memory for a slow caller, not two.
        """
        if message["type"] == FILE_PART:
            part = cast("dict[str, Any]", message)  # uvicorn does not know it
            await self._send_file(part["file"], part["offset"], part["count"])
            return
        if message["type"] == "http.response.start" and self.more_body and _may_be_long(self.scope["headers"]):
            self.leaves_unread = True
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        if message["type"] != "http.response.body" or not message.get("more_body", False):
            if self.leaves_unread and self.response_started:
                self.keep_alive = True  # the protocol ends the connection; uvicorn would reset it
            await super().send(message)
            return
        await self._drain()
        body = message.get("body", b"")
        if self.chunked_encoding and body and not self.disconnected and not self.response_complete:
            # uvicorn would join the three, which copies the body.
            self.transport.writelines((b"%x\r\n" % len(body), body, b"\r\n"))
        else:
            await super().send(message)
        await self._drain()

    async def _send_file(self, file: int, offset: int, count: int) -> None:
        """Sends a part of an answer of a known length; more must follow. How long a caller may take nothing is bounded
        as for everything else: by the connection's deadlines. Raises ConnectionError where it is gone, OSError where
        the file fails.
        """
        assert self.chunked_encoding is False, "its length must be known"
        assert count <= self.expected_content_length, "longer than announced"
        self.expected_content_length -= count
        await self._flush()
        self.unsent = count
        try:
            while self.unsent and not (self.disconnected or self.transport.is_closing()):
                connection = self.transport.get_extra_info("socket").fileno()
                sent = await self.files.send_some(connection, file, offset, self.unsent)
                offset += sent
                self.unsent -= sent
                if self.unsent and not (self.disconnected or self.transport.is_closing()):
                    self._wake = asyncio.get_running_loop().create_future()
                    await writable(connection, self._wake)
            if self.unsent:
                raise ConnectionResetError("The caller left.")
        finally:
            self.unsent = 0

    async def _flush(self) -> None:
        """Returns once the kernel has everything that was written before."""
        await asyncio.sleep(0)  # uvloop writes, and counts as unsent, what it was given once this turn has ended
        if self.transport.get_write_buffer_size():
            self.transport.set_write_buffer_limits(high=0)  # it says that there is room only when nothing is left
            await self._drain()
            self.transport.set_write_buffer_limits()

    async def _drain(self) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()

    def gather(self, piece: bytes) -> None:
        """Takes a piece of the request's body. The first is not copied, here or when the app takes it; more that come
        before that are gathered, without copying all of them each time.
        """
        if not self.body:
            self.body = piece  # type: ignore[assignment]  # uvicorn's is a bytearray; it only asks what bytes have too
            return
        if isinstance(self.body, bytes):
            self.body = bytearray(self.body)
        self.body += piece

    def lose_caller(self) -> None:
        """Nobody receives the answer any more: tells the app, and drops what it still sends."""
        if not self.response_complete:
            self.disconnected = True
        self.message_event.set()
        if self._wake is not None:
            wake_up(self._wake)

    async def send_500_response(self) -> None:
        response: Response = self.hooks.answer(GatewayError(""))
        headers = [*response.raw_headers, (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await self.send({"type": "http.response.body", "body": bytes(response.body), "more_body": False})


def _may_be_long(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Of a body: whether it is worth a new connection not to read it."""
    length = next((value for name, value in headers if name == b"content-length"), None)
    return length is None or int(length) > _LONG_BODY_BYTES


class OldCycle(Cycle):
    """For HTTP/1.0, which has no chunks: an answer without a length ends with the connection.

    An answer that breaks off resets the connection. Otherwise its caller would take it for whole.
    """

    _has_length = True

    async def send(self, message: "ASGISendEvent") -> None:
        if message["type"] == "http.response.start":
            self._begin(message.get("headers", ()))
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            if not self._has_length:
                self.expected_content_length = len(message.get("body", b"")) if self.scope["method"] != "HEAD" else 0
            self._reset_on_close(_NO_RESET)
        await super().send(message)

    def _begin(self, headers: object) -> None:
        self._reset_on_close(_RESET)
        names = [bytes(name).lower() for name, _ in headers]  # type: ignore[attr-defined]  # uvicorn's own messages
        self._has_length = b"content-length" in names
        if not self._has_length:
            self.chunked_encoding, self.expected_content_length = False, _ENDLESS

    def _reset_on_close(self, linger: bytes) -> None:
        connection = self.transport.get_extra_info("socket")
        if connection is not None and not self.transport.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def new_cycle(protocol: HttpToolsProtocol, hooks: Hooks, files: FileSender) -> Cycle:
    """The cycle for the request whose head `protocol` has just read."""
    protocol.scope["extensions"] = {FILE_PART: {}}
    is_old = protocol.scope["http_version"] == "1.0"
    kind = OldCycle if is_old else Cycle
    cycle = kind(
        scope=protocol.scope,
        transport=protocol.transport,
        flow=protocol.flow,
        logger=protocol.logger,
        access_logger=protocol.access_logger,
        access_log=protocol.access_log,
        default_headers=protocol.server_state.default_headers,
        message_event=asyncio.Event(),
        expect_100_continue=protocol.expect_100_continue,
        keep_alive=not is_old and protocol.parser.should_keep_alive(),
        on_response=protocol.on_response_complete,
    )
    cycle.hooks, cycle.files = hooks, files
    return cycle
