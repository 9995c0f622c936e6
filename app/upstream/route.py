"""The way one request takes to ZenMux: the account that pays, the transport that carries it, and a waiting
connection.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import httpx2
from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class Account:
    """One ZenMux key. `name` is for people and records. The key is never shown."""

    name: str
    key: SecretStr | None


@runtime_checkable
class LendsConnections(Protocol):
    """A transport that can say, before there is a request, whether one of its connections waits."""

    async def lend_waiting(self, url: httpx2.URL) -> httpx2.AsyncBaseTransport | None:
        """A transport for one request over a waiting connection; None if none waits. Close it if it is not used."""
        ...


@dataclass(slots=True)
class Route:
    """The way of one request. `waiting` is a waiting connection, as a transport; None if one must be made first."""

    account: Account
    transport: httpx2.AsyncBaseTransport
    waiting: httpx2.AsyncBaseTransport | None = None

    def take(self) -> httpx2.AsyncBaseTransport:
        """The transport for the next try: the waiting connection, the first time."""
        waiting, self.waiting = self.waiting, None
        return waiting or self.transport

    async def aclose(self) -> None:
        """Returns the waiting connection, if no request took it. May be called more than once."""
        if self.waiting is not None:
            await self.take().aclose()
