"""The way that one request takes to ZenMux: which account pays, which transport carries it, what waits for it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import httpx2
from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class Account:
    """One ZenMux key. `name` is for people and records; the key is shown to nobody."""

    name: str
    key: SecretStr | None


@runtime_checkable
class LendsConnections(Protocol):
    """A transport that can say, before there is a request, whether one of its connections waits for it."""

    async def lend_waiting(self, url: httpx2.URL) -> httpx2.AsyncBaseTransport | None:
        """The transport of one request, over a connection that waits; close it, if it is not used."""
        ...


@dataclass(slots=True)
class Route:
    """`waiting` is a connection that waits, as a transport; None where one has to be made first."""

    account: Account
    transport: httpx2.AsyncBaseTransport
    waiting: httpx2.AsyncBaseTransport | None = None

    def take(self) -> httpx2.AsyncBaseTransport:
        """What carries the next try: the connection that waits, the first time."""
        waiting, self.waiting = self.waiting, None
        return waiting or self.transport

    async def aclose(self) -> None:
        """Gives back the connection that waits, if no request took it. May be called more than once."""
        if self.waiting is not None:
            await self.take().aclose()
