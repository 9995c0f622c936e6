"""Connections kept for the next request: how many, for how long, and which comes next."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import httpx2

from app.upstream.http1.buffers import Buffers
from app.upstream.http1.connection import IDLE_SECONDS_MAX, READ_BYTES_MAX, Connection, Surroundings
from app.upstream.http1.dialing import Dialer
from app.upstream.http1.origin import Origin


@dataclass(frozen=True, slots=True)
class PoolBounds:
    """What a transport may use. `socket_buffer_bytes` bounds the kernel's part; None lets the kernel choose."""

    connect_seconds: float
    silence_seconds: float
    connections_max: int
    socket_buffer_bytes: int | None = None


class Pool:
    """The connections of one transport. Make it in the loop that will use it. At most `connections_max` connections are
    lent at a time.
    """

    def __init__(self, bounds: PoolBounds, tls: Callable[[], ssl.SSLContext]) -> None:
        self._bounds = bounds
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(bounds.connections_max)
        self._open: set[Connection] = set()
        self._idle: dict[Connection, None] = {}  # the most recently used last
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False
        surroundings = Surroundings(
            loop=self._loop,
            silence_seconds=bounds.silence_seconds,
            on_free=self._on_free,
            on_lost=self._on_lost,
            received=Buffers(READ_BYTES_MAX),
        )
        self._dialer = Dialer(surroundings, bounds.socket_buffer_bytes, tls)

    async def lend(self, origin: Origin) -> Connection:
        """A usable connection, the most recently used first. It belongs to the caller until its `end`. Nothing has been
        sent over it.

        Raises ConnectError, ConnectTimeout, PoolTimeout, and LocalProtocolError after `aclose`.
        """
        if self._closed:
            raise httpx2.LocalProtocolError("The transport was closed.")
        waiting = await self.lend_waiting(origin)
        if waiting is not None:
            return waiting
        waits_for_slot = True
        try:
            async with asyncio.timeout(self._bounds.connect_seconds):
                await self._slots.acquire()
                waits_for_slot = False
                return self._lent(self._take_idle(origin) or await self._connect(origin))
        except TimeoutError as error:
            if waits_for_slot:
                raise httpx2.PoolTimeout("No connection became free in time.") from error
            self._slots.release()
            raise httpx2.ConnectTimeout("No connection was made in time.") from error
        except BaseException as error:
            if not waits_for_slot:
                self._slots.release()
            if isinstance(error, OSError | ValueError):
                raise httpx2.ConnectError(f"{type(error).__name__}: {error}") from error
            raise

    async def lend_waiting(self, origin: Origin) -> Connection | None:
        """As `lend`, but only a connection that waits for a request; else None. Does not wait."""
        if self._closed or self._slots.locked() or (kept := self._take_idle(origin)) is None:
            return None
        await self._slots.acquire()  # does not wait
        return self._lent(kept)

    async def aclose(self) -> None:
        """Drops every connection. May be called more than once."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for connection in list(self._open):
            connection.drop()
        if self._open:
            await asyncio.sleep(0)  # the loop closes them

    async def _connect(self, origin: Origin) -> Connection:
        if len(self._open) >= self._bounds.connections_max and self._idle:
            self._forget(next(iter(self._idle))).close()  # it leads to another server
        connection = await self._dialer.connect(origin)
        connection.touch()
        self._open.add(connection)
        if self._closed or not connection.usable:
            connection.drop()
            raise ConnectionResetError("closed as soon as it was made")
        return connection

    def _lent(self, connection: Connection) -> Connection:
        connection.lend()
        return connection

    def _take_idle(self, origin: Origin) -> Connection | None:
        newest_first = reversed(self._idle)
        found = next((kept for kept in newest_first if kept.origin == origin and kept.fresh), None)
        return None if found is None else self._forget(found)

    def _forget(self, connection: Connection) -> Connection:
        self._idle.pop(connection, None)
        return connection

    def _on_free(self, connection: Connection) -> None:
        self._slots.release()
        if self._closed or not connection.fresh:
            connection.close()
            return
        self._idle[connection] = None
        if self._sweeping is None:
            self._sweeping = self._loop.call_at(connection.quiet_since + IDLE_SECONDS_MAX, self._sweep)

    def _on_lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._forget(connection)

    def _sweep(self) -> None:
        """Closes connections that were idle for too long, and checks again when the next one will have been."""
        self._sweeping = None
        for connection in [each for each in self._idle if not each.fresh]:
            self._forget(connection).close()
        if self._idle:
            next_at = min(connection.quiet_since for connection in self._idle) + IDLE_SECONDS_MAX
            self._sweeping = self._loop.call_at(next_at, self._sweep)
