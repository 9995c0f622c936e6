"""The way to a connection: addresses, their order, and the sockets' buffers."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx2
import pytest
from aiohappyeyeballs import start_connection

from app.upstream.http1.dialing import Dialer
from app.upstream.http1.origin import Origin
from app.upstream.http1.transport import Transport
from tests.upstream.asking import answer_ok, ask, both_loops, drop, give_up, post, transport
from tests.upstream.raw_server import Connection, serve

anyio_backend = both_loops


def address_of(port: int, host: str = "127.0.0.1") -> tuple[Any, ...]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def unanswering_server() -> Iterator[tuple[Any, ...]]:
    """The address of one that takes no connection and refuses none."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as unanswering, ExitStack() as fillers:
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(unanswering.getsockname())
        yield address_of(unanswering.getsockname()[1])


class Resolver:
    """Stands for DNS: gives `addresses` for names, and counts how often it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: tuple[Any, ...]) -> None:
        self.addresses = list(addresses)
        self.count = 0
        loop = asyncio.get_running_loop()
        real = loop.getaddrinfo

        async def resolve(_: object, host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
            if host != "images.invalid":  # uvloop asks for the address it is connecting to as well
                return await real(host, port, **options)
            self.count += 1
            await asyncio.sleep(0)
            return self.addresses

        monkeypatch.setattr(type(loop), "getaddrinfo", resolve)


async def test_a_name_is_asked_for_once_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    everybody = asyncio.Barrier(8)

    async def answer_together(connection: Connection) -> None:
        await everybody.wait()
        await answer_ok(connection)

    async with serve(answer_together) as server, transport() as opened:
        resolver = Resolver(monkeypatch, address_of(server.port))
        await asyncio.gather(*(ask(opened, post("http://images.invalid")) for _ in range(8)))
        assert (resolver.count, server.connections_made) == (1, 8)
        assert b"host: images.invalid\r\n" in server.requests[0].lower()


async def test_addresses_that_failed_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(answer_ok) as server, transport() as opened:
        resolver = Resolver(monkeypatch, address_of(free_port()))
        with pytest.raises(httpx2.ConnectError):
            await opened.handle_async_request(post("http://images.invalid"))
        resolver.addresses = [address_of(server.port)]
        assert await ask(opened, post("http://images.invalid")) == b"ok"


async def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(answer_ok) as server, transport() as opened:
        Resolver(monkeypatch, address_of(free_port()), address_of(server.port))
        assert await ask(opened, post("http://images.invalid")) == b"ok"


async def test_an_address_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with unanswering_server() as unanswering:
        async with serve(answer_ok) as server, transport() as opened:
            Resolver(monkeypatch, unanswering, address_of(server.port))
            assert await ask(opened, post("http://images.invalid")) == b"ok"


class Choices:
    """Counts how often it was to be found out which address answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0

        async def choose(*values: Any, **options: Any) -> socket.socket:
            self.count += 1
            return await start_connection(*values, **options)

        monkeypatch.setattr("app.upstream.http1.dialing.start_connection", choose)


class Straight:
    """Counts how often an address was gone to without a choice."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        real = Dialer._go_straight

        async def go_straight(dialer: Dialer, origin: Origin) -> object:
            self.count += 1
            return await real(dialer, origin)

        monkeypatch.setattr(Dialer, "_go_straight", go_straight)


def forget_connections(opened: Transport) -> None:
    """The next request needs a new one."""
    for connection in list(opened._pool._open):
        connection.drop()


@pytest.mark.parametrize(("buffer", "choices"), [(None, 1), (32_768, 5)])
async def test_the_address_that_answered_is_gone_to_straight(
    buffer: int | None, choices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = Choices(monkeypatch)
    async with serve(answer_ok) as server, transport(buffer=buffer) as opened:
        Resolver(monkeypatch, address_of(free_port()), address_of(server.port))
        for _ in range(5):
            assert await ask(opened, post("http://images.invalid")) == b"ok"
            forget_connections(opened)
        assert (chosen.count, server.connections_made) == (choices, 5)


async def test_an_address_that_refuses_all_of_a_sudden(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Choices(monkeypatch)
    async with transport() as opened, serve(answer_ok) as second:
        async with serve(answer_ok) as first:
            Resolver(monkeypatch, address_of(first.port), address_of(second.port))
            assert await ask(opened, post("http://images.invalid")) == b"ok"
        forget_connections(opened)
        straight = Straight(monkeypatch)
        assert await ask(opened, post("http://images.invalid")) == b"ok"
        assert (chosen.count, straight.count, first.connections_made, second.connections_made) == (2, 1, 1, 1)


@pytest.mark.parametrize("patience", [0.01, 60])
async def test_an_address_that_is_silent_all_of_a_sudden(monkeypatch: pytest.MonkeyPatch, patience: float) -> None:
    """Whether the dialer's patience ends first or its caller's: the next one chooses anew."""
    monkeypatch.setattr("app.upstream.http1.dialing._STRAIGHT_SECONDS_MAX", patience)
    straight = Straight(monkeypatch)
    async with transport(connect_seconds=5 if patience < 1 else 0.5) as opened, serve(answer_ok) as second:
        with unanswering_server() as unanswering:
            Resolver(monkeypatch, unanswering, address_of(second.port))
            await opened._pool._dialer._resolve(Origin(tls=False, host="images.invalid", port=80))
            opened._pool._dialer._answered_last = unanswering[-1]
            if patience > 1:
                with pytest.raises(httpx2.ConnectTimeout):
                    await ask(opened, post("http://images.invalid"))
            assert await ask(opened, post("http://images.invalid")) == b"ok"
        assert (straight.count, second.connections_made) == (1, 1)


async def test_an_address_whose_handshake_fails_has_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    straight = Straight(monkeypatch)
    async with serve(drop, reads=False) as broken, transport() as opened:
        resolver = Resolver(monkeypatch, address_of(broken.port))
        for _ in range(3):
            with pytest.raises(httpx2.ConnectError):
                await ask(opened, post("https://images.invalid"))
        assert (resolver.count, straight.count, broken.connections_made) == (3, 0, 3)


async def test_a_new_look_up_is_a_new_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.upstream.http1.dialing._ADDRESS_SECONDS", 0.0)
    straight, chosen = Straight(monkeypatch), Choices(monkeypatch)
    async with serve(answer_ok) as server, transport() as opened:
        resolver = Resolver(monkeypatch, address_of(server.port))
        for _ in range(3):
            assert await ask(opened, post("http://images.invalid")) == b"ok"
            forget_connections(opened)
        assert (resolver.count, chosen.count, straight.count) == (3, 3, 0)


async def test_no_address_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with transport() as opened:
        Resolver(monkeypatch)
        with pytest.raises(httpx2.ConnectError):
            await opened.handle_async_request(post("http://images.invalid"))


async def test_an_ipv6_address() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    async with serve(answer_ok, host="::1") as server, transport() as opened:
        url = f"http://[::1]:{server.port}/a/b"
        assert await ask(opened, post(url)) == b"ok"
        assert server.requests[0].startswith(b"POST /a/b/images HTTP/1.1\r\n")
        assert b"host: [::1]:%d\r\n" % server.port in server.requests[0].lower()


@pytest.mark.parametrize("size", [None, 32_768])
async def test_the_sockets_buffer_is_what_was_asked_for(size: int | None) -> None:
    async with serve(answer_ok) as server, transport(buffer=size) as opened:
        await ask(opened, post(server.url))
        (connection,) = opened._pool._open
        assert connection._transport is not None
        buffer = connection._transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert buffer in (32_768, 65_536) if size else buffer > 65_536  # Linux counts its own share too


async def test_giving_up_leaves_nothing_open() -> None:
    """Cancelled at every step of the way to a connection, the one that looks for an address and the straight one;
    sockets left open would be warnings, and so errors."""
    async with serve(answer_ok) as server, transport(connections_max=1) as opened:
        for is_straight in (False, True):
            for steps in range(15):
                if not is_straight:
                    opened._pool._dialer._answered_last = None
                await give_up(opened, post(server.url), steps)
                assert opened._pool._slots._value == 1
                forget_connections(opened)
            assert await ask(opened, post(server.url)) == b"ok"
            forget_connections(opened)
