"""Closing and resetting, on both event loops that a server may run."""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

import pytest
import uvloop

from app.sandbox.answers.connection import EXTENSION, BreakableConnection, connection_of

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


async def met(ending: Callable[[BreakableConnection], None]) -> bytes | OSError:
    """What a client sees when it is answered `half` and the connection then ends so."""

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

        def data_received(self, _: bytes) -> None:
            self.transport.write(b"half")
            ending(BreakableConnection(self.transport))
            ending(BreakableConnection(self.transport))  # the second time does no harm

    def ask(port: int) -> bytes | OSError:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"?")
            data = b""
            try:
                while chunk := client.recv(100):
                    data += chunk
            except OSError as error:
                return error
            return data

    loop = asyncio.get_running_loop()
    async with await loop.create_server(Answering, "127.0.0.1", 0) as server:
        return await loop.run_in_executor(None, ask, server.sockets[0].getsockname()[1])


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_closing_sends_what_was_written(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(met(BreakableConnection.close)) == b"half"


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_resetting_is_a_tcp_reset(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert isinstance(runner.run(met(BreakableConnection.reset)), ConnectionResetError)


def test_other_servers_offer_no_connection() -> None:
    assert connection_of({"type": "http"}) is None
    assert connection_of({"type": "http", "extensions": {"http.response.push": {}}}) is None
    connection = BreakableConnection(asyncio.Transport())
    assert connection_of({"type": "http", "extensions": {EXTENSION: {"connection": connection}}}) is connection
