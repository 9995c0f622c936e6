"""The way one request takes to ZenMux: the account that pays, the transport that carries it, and a waiting
connection.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import httpx2

from app.upstream.accounts.accounts import Account, Accounts
from app.upstream.response import UpstreamResponse


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

    accounts: Accounts
    account: Account
    chosen_at: float
    transport: httpx2.AsyncBaseTransport
    waiting: httpx2.AsyncBaseTransport | None = None
    answer: UpstreamResponse | None = None

    def take(self) -> httpx2.AsyncBaseTransport:
        """The transport for the next try: the waiting connection, the first time."""
        waiting, self.waiting = self.waiting, None
        return waiting or self.transport

    async def turn_to(self, other: "Route") -> None:
        """Goes the other way from now on; `other` must not be used any more."""
        await self.aclose()
        self.account, self.chosen_at = other.account, other.chosen_at
        self.transport, self.waiting = other.transport, other.waiting

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends what it still has. May be called more than once."""
        self.accounts.note_ended(self.account, self.chosen_at)
        if self.waiting is not None:
            await self.take().aclose()
        if self.answer is not None:
            await self.answer.aclose()


@dataclass(frozen=True, slots=True)
class _Way:
    """The way to one server."""

    url: httpx2.URL
    transport: httpx2.AsyncBaseTransport
    lender: LendsConnections | None


class Routes:
    """The routes to the servers of all accounts. For one event loop. `transport_to` makes a transport, once for each
    base URL."""

    def __init__(self, accounts: Accounts, transport_to: Callable[[httpx2.URL], httpx2.AsyncBaseTransport]) -> None:
        self.accounts = accounts
        self._transport_to = transport_to
        self._ways: dict[str, _Way] = {}

    async def choose(self, model: str, tried: Collection[str] = ()) -> Route:
        """The route for the next request for `model`: use it as a context. Does not wait. None over an account whose
        name is in `tried`. Raises NoAccountUp, ModelNotFound.
        """
        account, chosen_at = self.accounts.choose(model, tried)
        try:
            way = self._ways.get(account.origin) or self._open(account.origin)
            waiting = None if way.lender is None else await way.lender.lend_waiting(way.url)
        except BaseException:
            self.accounts.note_ended(account, chosen_at)
            raise
        return Route(self.accounts, account, chosen_at, way.transport, waiting)

    def prepare(self, base_urls: Iterable[str]) -> None:
        """Makes the transports to these servers now. Raises ConfigurationError for a way that cannot work."""
        for base_url in base_urls:
            if base_url not in self._ways:
                self._open(base_url)

    def _open(self, origin: str) -> _Way:
        url = httpx2.URL(origin)
        transport = self._transport_to(url)
        way = _Way(url, transport, transport if isinstance(transport, LendsConnections) else None)
        self._ways[origin] = way
        return way

    async def aclose(self) -> None:
        """Closes every connection. Answers that are still being read break. May be called more than once."""
        for way in self._ways.values():
            await way.transport.aclose()
