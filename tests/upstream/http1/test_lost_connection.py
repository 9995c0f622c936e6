"""A kept connection that is lost between being chosen and being written into: announcing may take seconds, when the
database is busy, and servers close idle connections after five."""

import asyncio
from contextlib import aclosing

from app.main import utc_now
from app.settings.settings import Settings
from app.upstream.zenmux import Upstream
from tests.upstream.asking import read_whole
from tests.upstream.raw_server import Connection, answered, serve


async def test_a_connection_lost_while_sending_is_announced_is_not_written_into() -> None:
    kept: list[asyncio.StreamWriter] = []

    async def answer(connection: Connection) -> None:
        kept.append(connection.writer)
        await connection.send(answered(b"{}"))

    async def nothing() -> None:
        pass

    async def lose_it() -> None:
        kept[0].close()
        await asyncio.sleep(0.1)  # whether the other side has seen it, nothing tells

    async with serve(answer) as server:
        upstream = Upstream(Settings(zenmux_api_key="sk-ai-v1-test", zenmux_base_url=f"{server.url}/api/v1"), utc_now)
        await upstream.open()
        try:
            for on_sending in (nothing, lose_it):
                route = await upstream.routes.choose("any")
                asked = await upstream.ask(route, "/images/generations", b"{}", "application/json", on_sending)
                async with aclosing(asked) as response:
                    assert await read_whole(response) == b"{}"
        finally:
            await upstream.aclose()
        assert (server.connections_made, len(server.requests)) == (2, 2)
