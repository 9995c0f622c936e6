"""Which connection a request gets: how many there are, which comes next, how long they are kept."""

import asyncio

import httpx2
import pytest

from app.upstream.http1 import connection as connection_module
from app.upstream.http1 import pool as pool_module
from app.upstream.http1.transport import Transport
from tests.upstream.asking import Sendings, answer_ok, ask, body_of, both_loops, post, transport
from tests.upstream.raw_server import Connection, Server, answered, serve

anyio_backend = both_loops


class Numbered:
    """Answers that name the connection they came over. The first `together` requests are answered at once."""

    def __init__(self, together: int) -> None:
        self._numbers: dict[int, int] = {}
        self._barrier = asyncio.Barrier(together)
        self.closed: asyncio.Queue[int] = asyncio.Queue()

    async def __call__(self, connection: Connection) -> None:
        number = self._numbers.setdefault(id(connection), len(self._numbers))
        await self._barrier.wait()
        while True:
            await connection.send(answered(b"%d" % number))
            try:
                await connection.read_request()
            except EOFError:
                self.closed.put_nowait(number)
                raise


async def both(opened: Transport, server: Server) -> list[bytes]:
    """Two connections' names, in the order in which they were given back."""
    responses = await asyncio.gather(*(opened.handle_async_request(post(server.url)) for _ in range(2)))
    return [await body_of(response) for response in responses]


async def test_the_last_used_comes_first() -> None:
    async with serve(Numbered(2)) as server, transport() as opened:
        _, last = await both(opened, server)
        for _ in range(3):
            assert await ask(opened, post(server.url)) == last
        assert server.connections_made == 2


async def test_idle_ones_are_closed_in_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "IDLE_SECONDS_MAX", 0.15)
    monkeypatch.setattr(pool_module, "IDLE_SECONDS_MAX", 0.15)
    numbered = Numbered(2)
    async with serve(numbered) as server, transport() as opened:
        first, last = await both(opened, server)
        await asyncio.sleep(0.1)
        assert await ask(opened, post(server.url)) == last
        assert await numbered.closed.get() == int(first)
        assert await numbered.closed.get() == int(last)
        assert not opened._pool._open


async def test_one_that_was_idle_for_too_long_is_not_used_even_before_it_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve(answer_ok) as server, transport() as opened:
        await ask(opened, post(server.url))
        monkeypatch.setattr(connection_module, "IDLE_SECONDS_MAX", 0)
        await ask(opened, post(server.url))
        assert server.connections_made == 2


async def test_one_that_waits_can_be_taken_before_there_is_a_request() -> None:
    async with serve(answer_ok) as server, transport(connections_max=1) as opened:
        origin = httpx2.URL(server.url)
        assert await opened.lend_waiting(origin) is None
        await ask(opened, post(server.url))
        assert await opened.lend_waiting(httpx2.URL("http://127.0.0.1:1")) is None
        unused = await opened.lend_waiting(origin)
        assert unused is not None
        assert await opened.lend_waiting(origin) is None
        await unused.aclose()
        taken = await opened.lend_waiting(origin)
        assert taken is not None
        assert await ask(taken, post(server.url)) == b"ok"
        assert (server.connections_made, opened._pool._slots._value) == (1, 1)


async def test_one_that_was_taken_and_lost_is_replaced() -> None:
    closes = asyncio.Event()

    async def answer_then_close(connection: Connection) -> None:
        await answer_ok(connection)
        await closes.wait()
        raise EOFError

    sendings = Sendings()
    async with serve(answer_then_close) as server, transport(connections_max=1) as opened:
        await ask(opened, post(server.url))
        taken = await opened.lend_waiting(httpx2.URL(server.url))
        assert taken is not None
        closes.set()
        assert taken._connection is not None
        while taken._connection.usable:  # noqa: ASYNC110 - what notices is the connection itself
            await asyncio.sleep(0)
        assert await ask(taken, post(server.url, sendings)) == b"ok"
        assert (server.connections_made, len(server.requests), sendings.count) == (2, 2, 1)
        assert opened._pool._slots._value == 1


async def test_taking_one_for_nothing_does_not_make_it_younger(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(answer_ok) as server, transport() as opened:
        await ask(opened, post(server.url))
        taken = await opened.lend_waiting(httpx2.URL(server.url))
        assert taken is not None
        connection = taken._connection
        assert connection is not None
        quiet_since = connection.quiet_since
        await taken.aclose()
        assert connection.quiet_since == quiet_since
        monkeypatch.setattr(connection_module, "IDLE_SECONDS_MAX", 0)
        assert await opened.lend_waiting(httpx2.URL(server.url)) is None


@pytest.mark.parametrize("is_lent_before", [True, False])
async def test_one_that_became_too_old_while_sending_was_announced_is_replaced(
    monkeypatch: pytest.MonkeyPatch, *, is_lent_before: bool
) -> None:
    """A database may take seconds to note that the request is about to go out."""

    async def wait_long() -> None:
        monkeypatch.setattr(connection_module, "IDLE_SECONDS_MAX", 0)

    async with serve(answer_ok) as server, transport(connections_max=1) as opened:
        await ask(opened, post(server.url))
        request = post(server.url, wait_long)
        taken = await opened.lend_waiting(httpx2.URL(server.url)) if is_lent_before else None
        assert await ask(taken or opened, request) == b"ok"
        assert (server.connections_made, len(server.requests)) == (2, 2)


async def test_requests_wait_for_their_turn() -> None:
    async with serve(answer_ok) as server, transport(connections_max=2) as opened:
        assert await asyncio.gather(*(ask(opened, post(server.url)) for _ in range(50))) == [b"ok"] * 50
        assert server.connections_made == 2


async def test_who_gave_up_waiting_takes_no_turn() -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def hold(connection: Connection) -> None:
        arrived.set()
        await release.wait()
        await answer_ok(connection)

    async with serve(hold) as server, transport(connections_max=1) as opened:
        tasks = [asyncio.ensure_future(ask(opened, post(server.url))) for _ in range(5)]
        await arrived.wait()
        for task in tasks[1:4]:
            task.cancel()
        release.set()
        for task in (tasks[0], tasks[4]):
            assert await task == b"ok"
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await ask(opened, post(server.url)) == b"ok"
        assert (server.connections_made, len(server.requests)) == (1, 3)


@pytest.mark.parametrize("times", [1, 5])
async def test_every_failure_gives_its_place_back(times: int) -> None:
    async def cut(connection: Connection) -> None:
        raise EOFError

    async def refuse() -> None:
        raise ValueError("no")

    async with serve(cut) as server, transport(connections_max=1, connect_seconds=0.5, silence_seconds=0.1) as opened:
        for _ in range(times):
            with pytest.raises(httpx2.ReadError):
                await opened.handle_async_request(post(server.url))
            with pytest.raises(ValueError, match="no"):
                await opened.handle_async_request(post(server.url, refuse))
            with pytest.raises(httpx2.ConnectError):
                await opened.handle_async_request(post("http://127.0.0.1:1"))
        assert opened._pool._slots._value == 1


async def test_another_servers_idle_connection_makes_room() -> None:
    gone = asyncio.Event()

    async def answer_until_closed(connection: Connection) -> None:
        await answer_ok(connection)
        await connection.until_client_closes()
        gone.set()
        raise EOFError

    async with (
        serve(answer_until_closed) as one,
        serve(answer_ok) as other,
        transport(connections_max=1) as opened,
    ):
        assert await ask(opened, post(one.url)) == b"ok"
        assert await ask(opened, post(other.url)) == b"ok"
        await gone.wait()
        assert await ask(opened, post(other.url)) == b"ok"
        assert (one.connections_made, other.connections_made) == (1, 1)


async def test_a_closed_one_sends_nothing() -> None:
    sendings = Sendings()
    async with serve(answer_ok) as server:
        async with transport() as opened:
            await ask(opened, post(server.url))
        await opened.aclose()
        with pytest.raises(httpx2.LocalProtocolError):
            await opened.handle_async_request(post(server.url, sendings))
        assert (sendings.count, len(server.requests)) == (0, 1)


async def test_closing_wakes_who_waits_for_an_answer() -> None:
    arrived = asyncio.Event()

    async def hold(connection: Connection) -> None:
        arrived.set()
        await connection.until_client_closes()
        raise EOFError

    async with serve(hold) as server, transport() as opened:
        asking = asyncio.ensure_future(opened.handle_async_request(post(server.url)))
        await arrived.wait()
        await opened.aclose()
        with pytest.raises(httpx2.ReadError):
            await asking
