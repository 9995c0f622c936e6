"""A small real forward proxy on loopback: CONNECT tunnels and requests in absolute form, and failures on request.

Every name leads to this machine, so that hosts which are not loopback by name can be asked through it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Proxy:
    """`asked` are the first lines of the requests it got, `heads` the whole heads. What it does with the next one:
    forward it, or `refuses` with a status line, or `hangs`, or `cuts` the tunnel once it stands. With `socks` it speaks
    SOCKS5 instead of HTTP, and `asked` are the names and ports it was asked for."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    refuses: str = ""
    hangs: bool = False
    cuts: bool = False
    socks: bool = False

    @property
    def url(self) -> str:
        return f"{'socks5' if self.socks else 'http'}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.socks:
            await self._serve_socks(reader, writer)
            return
        head = await reader.readuntil(b"\r\n\r\n")
        line, _, fields = head.partition(b"\r\n")
        self.asked.append(line.decode())
        self.heads.append(head)
        if self.hangs:
            await reader.read()
        elif self.refuses:
            writer.write(f"HTTP/1.1 {self.refuses}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
        else:
            await self._forward(line.decode(), fields, reader, writer)

    async def _serve_socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """RFC 1928, without a login: the client's methods, then CONNECT to a name."""
        _, count = await reader.readexactly(2)
        await reader.readexactly(count)
        writer.write(b"\x05\x00")
        head = await reader.readexactly(5)
        assert head[:4] == b"\x05\x01\x00\x03", head
        name = await reader.readexactly(head[4])
        port = int.from_bytes(await reader.readexactly(2))
        self.asked.append(f"{name.decode()}:{port}")
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        try:
            await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
        finally:
            there_writer.close()

    async def _forward(
        self, line: str, fields: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        method, target, version = line.split(" ")
        tunnel = method == "CONNECT"
        port = int(target.rpartition(":")[2]) if tunnel else urlsplit(target).port or 80
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        if tunnel:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = urlsplit(target).path
            there_writer.write(f"{method} {path} {version}\r\n".encode() + fields)
        try:
            if not self.cuts:
                await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
        finally:
            there_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def forward_proxy(*, socks: bool = False) -> AsyncIterator[Proxy]:
    proxy, tasks = Proxy(socks=socks), set[asyncio.Task[None]]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
                await proxy.serve(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
