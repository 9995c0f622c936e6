"""The way of one request: a waiting connection is used once, then the transport."""

import httpx2

from app.settings.accounts import AccountOrder, AccountSpec
from app.upstream.accounts.accounts import Accounts
from app.upstream.route import Route


class Closing(httpx2.AsyncBaseTransport):
    """Counts how often it is closed."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


ACCOUNTS = Accounts([AccountSpec("main", None)], AccountOrder.WEIGHTED, "http://x", lambda: 0.0, lambda: 0.0)


def route_over(transport: Closing, waiting: Closing) -> Route:
    return Route(ACCOUNTS, *ACCOUNTS.choose("any"), transport, waiting)


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
