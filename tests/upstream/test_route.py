"""The way of one request: a waiting connection is used once, then the transport."""

import httpx2

from app.upstream.route import Account, Route


class Closing(httpx2.AsyncBaseTransport):
    """Counts how often it is closed."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


ACCOUNT = Account("main", None)


def test_the_waiting_connection_comes_first_and_once() -> None:
    transport, waiting = Closing(), Closing()
    route = Route(ACCOUNT, transport, waiting)
    assert (route.take(), route.take()) == (waiting, transport)


async def test_a_waiting_connection_that_no_request_took_is_given_back_once() -> None:
    transport, waiting = Closing(), Closing()
    route = Route(ACCOUNT, transport, waiting)
    await route.aclose()
    await route.aclose()
    assert (waiting.closed, transport.closed) == (1, 0)


async def test_a_connection_that_was_taken_is_left_alone() -> None:
    waiting = Closing()
    route = Route(ACCOUNT, Closing(), waiting)
    route.take()
    await route.aclose()
    assert waiting.closed == 0
