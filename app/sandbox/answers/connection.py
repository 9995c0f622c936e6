"""Lets the stand-in break its own connections: each request can close or reset its TCP connection through an ASGI
extension. Knows uvicorn; decides nothing.
"""

import asyncio
import socket
import struct
from typing import Final

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

EXTENSION: Final = "zenmux.sandbox.connection"

_NO_LINGERING: Final = struct.pack("ii", 1, 0)


class BreakableConnection:
    """The TCP connection of one request. Safe to use after the other side has closed."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def close(self) -> None:
        """Sends what was written so far, then FIN, whatever Content-Length or chunks announced."""
        self._transport.close()

    def reset(self) -> None:
        """Sends RST; what was written and not yet sent is lost."""
        peer = self._transport.get_extra_info("socket")
        if peer is not None and not self._transport.is_closing():
            # Closing a socket that may not linger makes the kernel answer with RST instead of FIN.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        self._transport.abort()


class BreakableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with EXTENSION in the scope of every request."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"connection": BreakableConnection(self.transport)}}


def connection_of(scope: Scope) -> BreakableConnection | None:
    """The request's connection; None under a server that does not use BreakableProtocol."""
    extension = scope.get("extensions", {}).get(EXTENSION)
    return extension["connection"] if extension is not None else None
