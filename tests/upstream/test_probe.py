"""What `config check --connect` sees of the way to ZenMux, and what it advises where there is none."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from app.errors import RemoteFailure
from app.settings.settings import Settings
from app.upstream.probe import ProbeReport, look
from app.upstream.wire.proxies import without_password
from tests.servers import free_port
from tests.upstream.asking import each_transport
from tests.upstream.forward_proxy import forward_proxy
from tests.upstream.raw_server import Connection, answered, serve

carrier = each_transport
CERTIFICATE = Path(__file__).parent / "localhost.pem"


def settings(url: str, **more: Any) -> Settings:
    return Settings(_env_file=None, zenmux_api_key="sk-ai-v1-never", zenmux_base_url=f"{url}/api/v1", **more)


async def answer(connection: Connection) -> None:
    await connection.send(answered(b'{"data":[]}'))


async def test_a_tls_connection(carrier: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    async with serve(answer, tls=context) as server:
        seen = await look(settings(server.url, upstream_ca_file=CERTIFICATE))
    assert (seen.address, seen.transport, seen.proxy) == (f"127.0.0.1:{server.port}", carrier, None)
    assert seen.issuer
    assert seen.expires is not None
    assert seen.expires.endswith("GMT")
    assert seen.status == 200
    assert server.requests[0].startswith(b"GET /api/v1/models HTTP/1.1\r\n")
    assert b"never" not in server.requests[0]


async def test_through_a_proxy() -> None:
    async with forward_proxy() as proxy, serve(answer) as server:
        named = proxy.url.replace("http://", "http://me:secret@")
        seen = await look(settings(f"http://zenmux.test:{server.port}", upstream_proxy=named))
    assert seen == ProbeReport(f"127.0.0.1:{proxy.port}", proxy.url, "httpx", None, None, 200)


async def failure(url: str, **more: Any) -> str:
    with pytest.raises(RemoteFailure) as raised:
        await look(settings(url, connect_timeout_seconds=0.3, **more))
    return raised.value.message


@pytest.mark.usefixtures("carrier")
async def test_nobody_listens() -> None:
    message = await failure(f"http://127.0.0.1:{free_port()}")
    assert message.startswith("ZenMux cannot be reached directly: the connection was refused")
    assert "GATEWAY_UPSTREAM_PROXY" in message


@pytest.mark.usefixtures("carrier")
async def test_a_certificate_that_is_not_trusted() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    async with serve(answer, tls=context) as server:
        assert "GATEWAY_UPSTREAM_CA_FILE" in await failure(server.url)


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_proxy_that_does_not_let_through(hangs: bool) -> None:
    async with forward_proxy() as proxy:
        proxy.hangs, proxy.refuses = hangs, "407 Proxy Authentication Required"
        named = proxy.url.replace("http://", "http://me:secret@")
        async with asyncio.timeout(30):
            message = await failure("https://zenmux.test", upstream_proxy=named)
    assert f"through {proxy.url}" in message
    assert "secret" not in message
    assert hangs or "407" in message


def test_passwords_are_not_shown() -> None:
    assert without_password("http://a:b@host:1") == "http://host:1"
