"""Fetches one image from an address that a caller named: https alone, from the public internet or hosts the operator
names, without redirects, bounded in bytes and time. The address that was checked is the one connected to."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools

from app.errors import InvalidRequest
from app.files.addresses import is_public

Resolve = Callable[[str], Awaitable[list[str]]]
Write = Callable[[bytes], Awaitable[None]]

_PORT = 443
_READ_BYTES = 65_536
_HEAD_BYTES_MAX = 65_536
_SECONDS_MAX = 30.0


async def resolve(host: str) -> list[str]:
    """Every address of the host. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, _PORT, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True, slots=True)
class Fetcher:
    """`hosts` may be fetched from wherever they are; any other host only where all its addresses are public."""

    hosts: Collection[str]
    tls: Callable[[], ssl.SSLContext]
    resolve: Resolve = resolve
    port: int = _PORT
    seconds_max: float = _SECONDS_MAX

    async def fetch(self, url: str, param: str, write: Write) -> None:
        """Writes what stands at `url`. Raises InvalidRequest about `param`, and what `write` raises."""
        try:
            async with asyncio.timeout(self.seconds_max):
                await self._fetch(url, param, write)
        except TimeoutError:
            raise _refusal(param, f"It did not come within {self.seconds_max:g} seconds.") from None
        except (OSError, asyncio.IncompleteReadError, ValueError):  # ssl.SSLError is an OSError
            raise _refusal(param, "Its host cannot be reached.") from None

    async def _fetch(self, url: str, param: str, write: Write) -> None:
        host, target = _parts(url, param)
        addresses = await self.resolve(host)
        if host not in self.hosts and not (addresses and all(map(is_public, addresses))):
            raise _refusal(param, "Its host is not on the public internet.")
        reader, writer = await asyncio.open_connection(addresses[0], self.port, ssl=self.tls(), server_hostname=host)
        try:
            head = f"GET {target} HTTP/1.1\r\nhost: {host}\r\naccept: image/*\r\nconnection: close\r\n\r\n"
            writer.write(head.encode("ascii"))
            await _read_answer(reader, param, write)
        finally:
            writer.transport.abort()


class _Answer:
    """What httptools tells of an answer."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.has_head = self.is_whole = False
        self.body: list[bytes] = []

    def on_headers_complete(self) -> None:
        self.has_head = True

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        self.is_whole = True


async def _read_answer(reader: asyncio.StreamReader, param: str, write: Write) -> None:
    answer, head_bytes = _Answer(), 0
    while not answer.is_whole:
        data = await reader.read(_READ_BYTES)
        if not data:
            raise _refusal(param, "It broke off before it was whole.")
        try:
            answer.parser.feed_data(data)
        except httptools.HttpParserError:
            raise _refusal(param, "Its host did not answer in HTTP/1.1.") from None
        if not answer.has_head:
            head_bytes += len(data)
            if head_bytes > _HEAD_BYTES_MAX:
                raise _refusal(param, "Its host's answer has too long a head.")
            continue
        status = answer.parser.get_status_code()
        if status != 200:
            raise _refusal(param, f"Its host answered with status {status}; redirects are not followed.")
        body, answer.body = answer.body, []
        for piece in body:
            await write(piece)


def _parts(url: str, param: str) -> tuple[str, str]:
    """Host and target. Raises InvalidRequest where it is no plain https address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refusal(param, "It is no address.") from None
    if not all(32 < ord(letter) < 127 for letter in url):
        raise _refusal(param, "It holds characters that no address has: write them as %XX.")
    if parts.scheme != "https" or not host or port not in (None, _PORT) or "@" in parts.netloc:
        raise _refusal(param, "Send https addresses, without a port or a password.")
    return host, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _refusal(param: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"The image in '{param}' cannot be fetched. {reason}", param=param, code="invalid_image_url")
