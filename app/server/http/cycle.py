"""One request and its answer on a connection: uvicorn's, with faults in our own envelope and answers for HTTP/1.0."""

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.errors import GatewayError
from app.server.http.bounds import Hooks

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

_ENDLESS = 2**62
# Closing resets the connection, or closes it after the data that is still to be sent, as before.
_RESET = struct.pack("ii", 1, 0)
_NO_RESET = struct.pack("ii", 0, 0)


class Cycle(RequestResponseCycle):
    """Answers with `hooks` if the app ended without an answer."""

    hooks = Hooks()

    async def send(self, message: "ASGISendEvent") -> None:
        """Returns once the caller has taken most of it: until then the app reads nothing more of an answer. So one
        chunk waits in memory for a slow caller, not two.
        """
        if message["type"] != "http.response.body" or not message.get("more_body", False):
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

    async def _drain(self) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()

    def lose_caller(self) -> None:
        """Nobody receives the answer any more: tells the app, and drops what it still sends."""
        if not self.response_complete:
            self.disconnected = True
        self.message_event.set()

    async def send_500_response(self) -> None:
        response: Response = self.hooks.answer(GatewayError(""))
        headers = [*response.raw_headers, (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await self.send({"type": "http.response.body", "body": bytes(response.body), "more_body": False})


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


def new_cycle(protocol: HttpToolsProtocol, hooks: Hooks) -> Cycle:
    """The cycle for the request whose head `protocol` has just read."""
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
    cycle.hooks = hooks
    return cycle
