"""The way one request takes to ZenMux: the account that pays, the transport that carries it, and a waiting
connection.
"""

from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import httpx2
from pydantic import SecretStr

from app.upstream.response import UpstreamResponse


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
    """The way of one request. `waiting` is a waiting connection, as a transport; None if one must be made first.

    As a context it ends what it still has: a waiting connection that no request took, an `answer` not read to its end.
    """

    account: Account
    transport: httpx2.AsyncBaseTransport
    waiting: httpx2.AsyncBaseTransport | None = None
    answer: UpstreamResponse | None = None

    def take(self) -> httpx2.AsyncBaseTransport:
        """The transport for the next try: the waiting connection, the first time."""
        waiting, self.waiting = self.waiting, None
        return waiting or self.transport

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends what it still has. May be called more than once."""
        if self.waiting is not None:
            await self.take().aclose()
        if self.answer is not None:
            await self.answer.aclose()


class Routes:
    """The routes to `url`. For one event loop."""

    def __init__(self, account: Account, transport: httpx2.AsyncBaseTransport, url: httpx2.URL) -> None:
        self._account = account
        self._transport = transport
        self._url = url
        self._lender = transport if isinstance(transport, LendsConnections) else None

    async def choose(self) -> Route:
        """The route for the next request: use it as a context. Does not wait."""
        waiting = None if self._lender is None else await self._lender.lend_waiting(self._url)
        return Route(self._account, self._transport, waiting)
