"""The way of one request: a waiting connection is used once, then the transport; which is closed once no account and no
request needs it.
"""

import asyncio

import httpx2

from app.settings.accounts import AccountOrder, AccountSpec
from app.upstream.accounts.accounts import Accounts
from app.upstream.route import Route, Routes, Way


class Closing(httpx2.AsyncBaseTransport):
    """Counts how often it is closed."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


ACCOUNTS = Accounts([AccountSpec("main", None)], AccountOrder.WEIGHTED, "http://x", lambda: 0.0, lambda: 0.0)


def route_over(transport: Closing, waiting: Closing) -> Route:
    way = Way(httpx2.URL("http://x"), transport, None, lambda _: None, routes=1)
    return Route(ACCOUNTS, *ACCOUNTS.choose("any"), way, waiting)


def test_the_waiting_connection_comes_first_and_once() -> None:
    transport, waiting = Closing(), Closing()
    route = route_over(transport, waiting)
    assert (route.take(), route.take()) == (waiting, transport)


async def test_a_waiting_connection_that_no_request_took_is_given_back_once() -> None:
    transport, waiting = Closing(), Closing()
    route = route_over(transport, waiting)
    await route.aclose()
    await route.aclose()
    assert (waiting.closed, transport.closed) == (1, 0)


async def test_a_connection_that_was_taken_is_left_alone() -> None:
    waiting = Closing()
    route = route_over(Closing(), waiting)
    route.take()
    await route.aclose()
    assert waiting.closed == 0


class Servers:
    """The routes to the servers of accounts that come and go; `made` has the transports by base URL, oldest first."""

    def __init__(self, *urls: str) -> None:
        self.made: dict[str, list[Closing]] = {}
        self.accounts = Accounts(self._specs(urls), AccountOrder.PRIORITY, "http://x", lambda: 0.0, lambda: 0.0)
        self.routes = Routes(self.accounts, self._make)
        self.routes.prepare(urls)

    def _specs(self, urls: tuple[str, ...]) -> list[AccountSpec]:
        return [AccountSpec(f"a{number}", None, base_url=url) for number, url in enumerate(urls)]

    def _make(self, url: httpx2.URL) -> Closing:
        self.made.setdefault(str(url), []).append(Closing())
        return self.made[str(url)][-1]

    def replace(self, *urls: str) -> None:
        self.routes.prepare(urls)
        self.accounts.replace(self._specs(urls), AccountOrder.PRIORITY)
        self.routes.keep_only(urls)

    def closed(self, url: str) -> list[int]:
        return [transport.closed for transport in self.made[url]]


async def a_moment() -> None:
    """The loop does what it was told to do soon."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_server_that_no_account_has_any_more_is_left_with_its_last_request() -> None:
    servers = Servers("http://old")
    one, two = await servers.routes.choose("any"), await servers.routes.choose("any")
    servers.replace("http://new")
    await a_moment()
    assert one.take() is two.take() is servers.made["http://old"][0]
    await one.aclose()
    await one.aclose()  # counts once
    await a_moment()
    assert servers.closed("http://old") == [0]
    await two.aclose()
    await a_moment()
    assert (servers.closed("http://old"), servers.closed("http://new")) == ([1], [0])


async def test_a_server_without_requests_is_left_at_once_and_one_that_stays_is_not() -> None:
    servers = Servers("http://old", "http://same")
    servers.replace("http://same", "http://new")
    await a_moment()
    assert [servers.closed(f"http://{name}") for name in ("old", "same", "new")] == [[1], [0], [0]]


async def test_a_server_that_comes_back_meanwhile_gets_a_transport_of_its_own() -> None:
    servers = Servers("http://old")
    running = await servers.routes.choose("any")
    servers.replace("http://new")
    servers.replace("http://old")
    fresh = await servers.routes.choose("any")
    await running.aclose()
    await a_moment()
    assert servers.closed("http://old") == [1, 0]
    assert fresh.take() is servers.made["http://old"][1]


async def test_a_request_that_turns_to_another_account_leaves_the_first_ones_server() -> None:
    servers = Servers("http://old", "http://other")
    route = await servers.routes.choose("any")
    await route.turn_to(await servers.routes.choose("any", {"a0"}))
    servers.replace("http://new")
    await a_moment()
    assert (servers.closed("http://old"), servers.closed("http://other")) == ([1], [0])
    await route.aclose()
    await a_moment()
    assert servers.closed("http://other") == [1]


async def test_a_stop_closes_also_what_was_left_and_still_has_requests() -> None:
    servers = Servers("http://old")
    route = await servers.routes.choose("any")
    servers.replace("http://new")
    await servers.routes.aclose()
    assert (servers.closed("http://old"), servers.closed("http://new")) == ([1], [1])
    await route.aclose()
    await a_moment()
