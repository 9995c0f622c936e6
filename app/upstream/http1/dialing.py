"""How a connection is made: addresses, sockets, the TLS context. Keeps none of the connections."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import cast

from aiohappyeyeballs import AddrInfoType, start_connection

from app.upstream.http1.buffers import Buffers
from app.upstream.http1.connection import Connection, Surroundings
from app.upstream.http1.origin import Origin
from app.upstream.http1.tls import PLAIN_BYTES, TlsConnection
from app.upstream.wire.sockets import keep_alive

_ADDRESS_SECONDS = 10.0
_NEXT_ADDRESS_SECONDS = 0.25  # RFC 8305: how long one address may not answer before the next is tried in parallel
_STRAIGHT_SECONDS_MAX = 1.0  # how long the address that answered last may be silent before all are tried


class Dialer:
    """Connects to a server. `socket_buffer_bytes` bounds what the kernel holds of an answer; None leaves that to the
    kernel.
    """

    def __init__(
        self, surroundings: Surroundings, socket_buffer_bytes: int | None, tls: Callable[[], ssl.SSLContext]
    ) -> None:
        self._surroundings = surroundings
        self._socket_buffer_bytes = socket_buffer_bytes
        self._tls = tls
        self._plain = Buffers(PLAIN_BYTES)
        self._context: ssl.SSLContext | None = None
        self._resolving = asyncio.Lock()
        self._resolved: tuple[Origin, float, Sequence[AddrInfoType]] | None = None
        self._answered_last: object = None  # one of these addresses

    async def connect(self, origin: Origin) -> Connection:
        """Makes a connection. Raises OSError, which ssl.SSLError is too, and ValueError for a host that DNS cannot
        express.
        """
        addresses = self._remembered(origin) or await self._resolve(origin)
        connection = None
        # A bounded buffer needs a socket before the connection is made.
        if self._socket_buffer_bytes is None and self._answered_last in [address for *_, address in addresses]:
            connection = await self._go_straight(origin)
        if connection is None:
            connection = await self._try_all(origin, addresses)
        keep_alive(connection.get_extra_info("socket"))
        try:
            if isinstance(connection, TlsConnection):
                await connection.ready
        except BaseException:
            self._resolved = self._answered_last = None
            connection.drop()
            raise
        return connection

    async def _go_straight(self, origin: Origin) -> Connection | None:
        """Connects to the address that answered last, at half the CPU of a choice among sockets; None if it fails."""
        connection, (host, port, *_) = self._connection(origin), cast("tuple[str, int]", self._answered_last)
        try:
            async with asyncio.timeout(_STRAIGHT_SECONDS_MAX):
                await self._surroundings.loop.create_connection(lambda: connection, host, port)
        except OSError:
            self._answered_last = None
            return None
        except BaseException:  # the caller's time limit may be shorter
            self._answered_last = None
            connection.drop()
            raise
        return connection

    async def _try_all(self, origin: Origin, addresses: Sequence[AddrInfoType]) -> Connection:
        try:
            sock = await start_connection(
                addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, socket_factory=self._socket
            )
        except (OSError, RuntimeError) as error:
            self._resolved = None
            raise ConnectionError(str(error)) from error
        with suppress(OSError):  # it is closed already; that is reported below
            self._answered_last = sock.getpeername()
        connection = self._connection(origin)
        try:
            await self._surroundings.loop.create_connection(lambda: connection, sock=sock)
        except BaseException:
            connection.drop()
            raise
        return connection

    def _connection(self, origin: Origin) -> Connection:
        if not origin.tls:
            return Connection(self._surroundings, origin)
        if self._context is None:
            self._context = self._tls()
        return TlsConnection(self._surroundings, origin, self._context, self._plain)

    def _socket(self, address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        sock = socket.socket(family, kind, protocol)
        if self._socket_buffer_bytes is not None:
            # Set before connecting: afterwards the window offered to the server would not become smaller.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._socket_buffer_bytes)
        return sock

    def _remembered(self, origin: Origin) -> Sequence[AddrInfoType] | None:
        if self._resolved is not None:
            resolved, until, addresses = self._resolved
            if resolved == origin and self._surroundings.loop.time() < until:
                return addresses
        return None

    async def _resolve(self, origin: Origin) -> Sequence[AddrInfoType]:
        """Resolves the name. One look-up serves all connections that are wanted at the moment."""
        loop = self._surroundings.loop
        async with self._resolving:
            addresses = self._remembered(origin)
            if addresses is None:
                addresses = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
                self._resolved = (origin, loop.time() + _ADDRESS_SECONDS, addresses)
                self._answered_last = None  # the resolver puts the preferred address first
            return addresses
