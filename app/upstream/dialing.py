"""The way to a connection: addresses, sockets, the TLS context. Keeps none of what it makes."""

import asyncio
import socket
import ssl
from collections.abc import Sequence

from aiohappyeyeballs import AddrInfoType, start_connection

from app.upstream.buffers import Buffers
from app.upstream.connection import Connection, Origin, Surroundings
from app.upstream.tls import PLAIN_BYTES, TlsConnection, tls_context

_ADDRESS_SECONDS = 10.0
_NEXT_ADDRESS_SECONDS = 0.25  # RFC 8305: how long an address may not answer before the next is tried beside it


class Dialer:
    """`socket_buffer_bytes` bounds what the kernel holds of an answer; None leaves that to the kernel."""

    def __init__(self, surroundings: Surroundings, socket_buffer_bytes: int | None) -> None:
        self._surroundings = surroundings
        self._socket_buffer_bytes = socket_buffer_bytes
        self._plain = Buffers(PLAIN_BYTES)
        self._context: ssl.SSLContext | None = None
        self._resolving = asyncio.Lock()
        self._resolved: tuple[Origin, float, Sequence[AddrInfoType]] | None = None

    async def connect(self, origin: Origin) -> Connection:
        """Raises OSError, which ssl.SSLError is too, ValueError for a host that no DNS can hold."""
        connection = self._connection(origin)
        try:
            sock = await start_connection(
                await self._addresses(origin),
                happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS,
                socket_factory=self._socket,
            )
        except (OSError, RuntimeError) as error:
            self._resolved = None
            raise ConnectionError(str(error)) from error
        try:
            await self._surroundings.loop.create_connection(lambda: connection, sock=sock)
            if isinstance(connection, TlsConnection):
                await connection.ready
        except BaseException:
            connection.drop()
            raise
        return connection

    def _connection(self, origin: Origin) -> Connection:
        if not origin.tls:
            return Connection(self._surroundings, origin)
        if self._context is None:
            self._context = tls_context()
        return TlsConnection(self._surroundings, origin, self._context, self._plain)

    def _socket(self, address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        sock = socket.socket(family, kind, protocol)
        if self._socket_buffer_bytes is not None:
            # Before connecting: afterwards the window that was offered to the server is not made smaller.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._socket_buffer_bytes)
        return sock

    async def _addresses(self, origin: Origin) -> Sequence[AddrInfoType]:
        """Asked for once, however many connections are wanted at the moment."""
        loop = self._surroundings.loop
        async with self._resolving:
            if self._resolved is not None:
                resolved, until, addresses = self._resolved
                if resolved == origin and loop.time() < until:
                    return addresses
            addresses = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
            self._resolved = (origin, loop.time() + _ADDRESS_SECONDS, addresses)
            return addresses
