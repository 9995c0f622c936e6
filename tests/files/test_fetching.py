"""Images fetched on a caller's word: only from where they may come, only what they may be, and not for long."""

import asyncio
import ssl
from pathlib import Path

import pytest

from app.errors import InvalidRequest
from app.files.fetching import Fetcher
from tests.upstream.raw_server import Connection, serve

CERTIFICATES = Path(__file__).parents[1] / "upstream" / "certificates"
IMAGE = b"\x89PNG\r\n\x1a\n" + bytes(100_000)
HOST = "localhost"


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATES.parent / "localhost.pem"))


def served_as() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES.parent / "localhost.pem")
    return context


async def to_loopback(_: str) -> list[str]:
    return ["127.0.0.1"]


async def fetch(
    answer: bytes, url: str = f"https://{HOST}/a%20b?c=d", seconds: float = 5.0
) -> tuple[bytes, list[bytes]]:
    """What was written, and the requests that came."""
    written = bytearray()

    async def respond(connection: Connection) -> None:
        await connection.send(answer)
        if not answer:
            await connection.until_client_closes()
        raise EOFError

    async def write(data: bytes) -> None:
        written.extend(data)

    async with serve(respond, tls=served_as()) as server:
        fetcher = Fetcher((HOST,), trusting, to_loopback, server.port, seconds)
        await fetcher.fetch(url, "images[0]", write)
        return bytes(written), server.requests


def whole(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nlocation: https://x/\r\ncontent-length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


async def test_an_image_is_fetched() -> None:
    for answer in (whole(IMAGE), b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"):
        written, requests = await fetch(answer)
        assert written in (IMAGE, b"abc")
        assert requests[0].startswith(b"GET /a%20b?c=d HTTP/1.1\r\nhost: localhost\r\n")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (whole(b"", "302 Found"), "status 302; redirects are not followed"),
        (whole(b"", "404 Not Found"), "status 404"),
        (whole(IMAGE)[:-1], "broke off"),
        (b"HTTP/1.1 200 OK\r\n\r\nwithout a length", "broke off"),
        (b"SSH-2.0-x\r\n\r\n", "HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000, "head"),
    ],
)
async def test_other_answers_are_refused(answer: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as refused:
        await fetch(answer)
    assert (refused.value.code, refused.value.param) == ("invalid_image_url", "images[0]")


async def test_it_does_not_wait_for_long() -> None:
    with pytest.raises(InvalidRequest, match=r"within 0\.2 seconds"):
        await fetch(b"", seconds=0.2)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://localhost/a",
            "https://localhost:8443/a",
            "https://ann:b@localhost/a",
            "https:///a",
            "file:///etc/passwd",
        ),
        *(
            "https://localhost/a b",
            "https://localhost/\r\nx: y",
            "https://local\x00host/",
            "https://[::1/",
            "gopher://x",
        ),
    ],
)
async def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be fetched"):
        await fetch(whole(IMAGE), url)


async def nobody(_: bytes) -> None:
    raise AssertionError("something was fetched")


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["169.254.169.254"], ["::ffff:8.8.8.8"], []]
)
async def test_a_host_with_an_address_that_is_not_public_is_refused(addresses: list[str]) -> None:
    async def found(_: str) -> list[str]:
        return addresses

    with pytest.raises(InvalidRequest, match="not on the public internet"):
        await Fetcher((), trusting, found).fetch("https://images.example.com/a.png", "mask", nobody)


async def test_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that answers with a public address first, and with a private one afterwards, gains nothing: the address that
    was checked is the one that is connected to."""
    answers, connected = iter([["1.1.1.1"], ["127.0.0.1"]]), list[object]()

    async def rebinding(_: str) -> list[str]:
        return next(answers)

    async def connect(host: str, port: int, *, ssl: object, server_hostname: str) -> None:
        connected.append((host, port, server_hostname))
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio, "open_connection", connect)
    with pytest.raises(InvalidRequest, match="cannot be reached"):
        await Fetcher((), trusting, rebinding).fetch("https://rebind.example.com/", "mask", nobody)
    assert connected == [("1.1.1.1", 443, "rebind.example.com")]


async def test_a_certificate_of_another_is_refused() -> None:
    async def respond(connection: Connection) -> None:
        await connection.until_client_closes()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "other.pem")
    async with serve(respond, reads=False, tls=context) as server:
        fetcher = Fetcher((HOST,), trusting, to_loopback, server.port)
        with pytest.raises(InvalidRequest, match="cannot be reached"):
            await fetcher.fetch(f"https://{HOST}/", "mask", nobody)
