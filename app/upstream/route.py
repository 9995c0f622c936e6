"""The way one request takes to ZenMux: the account that pays, the transport that carries it, and a waiting
connection.
"""

import asyncio
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


@dataclass(slots=True, eq=False)
class Way:
    """The way to one server, with the number of open routes over it. Once it is `left`, no new route takes it, and
    `close` is called when the last one ends: at once, if there is none.
    """

    url: httpx2.URL
    transport: httpx2.AsyncBaseTransport
    lender: LendsConnections | None
    close: Callable[[httpx2.AsyncBaseTransport], None]
    routes: int = 0
    is_left: bool = False

    def end_route(self) -> None:
        """One of its routes has ended."""
        self.routes -= 1
        if self.is_left and not self.routes:
            self.close(self.transport)

    def leave(self) -> None:
        """No account needs it any more."""
        self.is_left = True
        if not self.routes:
            self.close(self.transport)


@dataclass(slots=True)
class Route:
    """The way of one request. `waiting` is a waiting connection, as a transport; None if one must be made first.

    As a context it ends what it still has: a waiting connection that no request took, an `answer` not read to its end.
    """

    accounts: Accounts
    account: Account
    chosen_at: float
    way: Way
    waiting: httpx2.AsyncBaseTransport | None = None
    answer: UpstreamResponse | None = None
    is_open: bool = True

    def take(self) -> httpx2.AsyncBaseTransport:
        """The transport for the next try: the waiting connection, the first time."""
        waiting, self.waiting = self.waiting, None
        return waiting or self.way.transport

    async def turn_to(self, other: "Route") -> None:
        """Goes the other way from now on; `other` must not be used any more."""
        try:
            await self.aclose()
        finally:
            self.account, self.chosen_at, self.way = other.account, other.chosen_at, other.way
            self.waiting, self.is_open = other.waiting, other.is_open

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends what it still has. May be called more than once."""
        self.accounts.note_ended(self.account, self.chosen_at)
        try:
            if self.waiting is not None:
                await self.take().aclose()
            if self.answer is not None:
                await self.answer.aclose()
        finally:
            if self.is_open:
                self.is_open = False
                self.way.end_route()


class Routes:
    """The routes to the servers of all accounts. For one event loop. `transport_to` makes a transport, once for each
    base URL."""

    def __init__(self, accounts: Accounts, transport_to: Callable[[httpx2.URL], httpx2.AsyncBaseTransport]) -> None:
        self.accounts = accounts
        self._transport_to = transport_to
        self._ways: dict[str, Way] = {}
        self._left: set[httpx2.AsyncBaseTransport] = set()  # that still have requests, or are being closed
        self._closing: set[asyncio.Task[None]] = set()

    async def choose(self, model: str, tried: Collection[str] = ()) -> Route:
        """The route for the next request for `model`: use it as a context. Does not wait. None over an account whose
        name is in `tried`. Raises NoAccountUp, ModelNotFound.
        """
        account, chosen_at = self.accounts.choose(model, tried)
        try:
            way = self._ways.get(account.origin) or self._open(account.origin)
            way.routes += 1
            try:
                waiting = None if way.lender is None else await way.lender.lend_waiting(way.url)
            except BaseException:
                way.end_route()
                raise
        except BaseException:
            self.accounts.note_ended(account, chosen_at)
            raise
        return Route(self.accounts, account, chosen_at, way, waiting)

    def prepare(self, base_urls: Iterable[str]) -> None:
        """Makes the transports to these servers now. Raises ConfigurationError for a way that cannot work."""
        for base_url in base_urls:
            if base_url not in self._ways:
                self._open(base_url)

    def keep_only(self, base_urls: Collection[str]) -> None:
        """Closes the transports to all other servers, each when its last request has ended. Does not wait."""
        for base_url in self._ways.keys() - set(base_urls):
            way = self._ways.pop(base_url)
            self._left.add(way.transport)
            way.leave()

    def _open(self, origin: str) -> Way:
        url = httpx2.URL(origin)
        transport = self._transport_to(url)
        lender = transport if isinstance(transport, LendsConnections) else None
        self._ways[origin] = way = Way(url, transport, lender, self._close_soon)
        return way

    def _close_soon(self, transport: httpx2.AsyncBaseTransport) -> None:
        closing = asyncio.get_running_loop().create_task(self._close(transport))
        self._closing.add(closing)  # the loop alone would forget it
        closing.add_done_callback(self._closing.discard)

    async def _close(self, transport: httpx2.AsyncBaseTransport) -> None:
        await transport.aclose()
        self._left.discard(transport)

    async def aclose(self) -> None:
        """Closes every connection. Answers that are still being read break. May be called more than once."""
        for transport in [*(way.transport for way in self._ways.values()), *self._left]:
            await transport.aclose()
