"""The log's words for why ZenMux was not reached: from real connections that fail, and made of errors."""

import errno
import socket
import ssl
from pathlib import Path

import pytest

from app.errors import UpstreamUnreachable
from app.main import utc_now
from app.settings.settings import Settings
from app.upstream.unreachable import reason_of
from app.upstream.zenmux import Upstream
from tests.servers import free_port
from tests.upstream.raw_server import Connection, answered, serve

CERTIFICATES = Path(__file__).parent / "certificates"  # each issued by itself, as Inspection CA of Corporate Proxy


async def reason_of_asking(url: str) -> str | None:
    settings = Settings(_env_file=None, zenmux_api_key="sk-ai-v1-x", zenmux_base_url=url, connect_retries=0)
    upstream = Upstream(settings, utc_now)
    await upstream.open()

    async def on_sending() -> None:
        raise AssertionError("nothing is to be sent")

    try:
        with pytest.raises(UpstreamUnreachable) as caught:
            await upstream.ask(
                await upstream.routes.choose("any"), "/images/generations", b"{}", "application/json", on_sending
            )
    finally:
        await upstream.aclose()
    assert "refused" not in caught.value.message  # for the operator alone
    return caught.value.reason


async def reason_with(path: Path) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    async def answer(connection: Connection) -> None:
        await connection.send(answered(b""))

    async with serve(answer, tls=context) as server:
        return await reason_of_asking(server.url)


async def test_a_name_that_does_not_exist() -> None:
    assert "its name cannot be resolved" in (await reason_of_asking("https://no.such.host.invalid") or "")


async def test_a_port_nobody_listens_on() -> None:
    assert await reason_of_asking(f"http://127.0.0.1:{free_port()}") == "the connection was refused"


async def test_a_certificate_nobody_here_trusts_is_told_with_its_issuer() -> None:
    reason = await reason_with(CERTIFICATES / "valid.pem")
    assert reason == (
        "its certificate is not trusted: self-signed certificate; issued by Inspection CA, Corporate Proxy"
    )


async def test_a_certificate_that_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    path = CERTIFICATES / "expired.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert await reason_with(path) == "its certificate has expired; issued by Inspection CA, Corporate Proxy"


async def test_a_certificate_of_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    path = CERTIFICATES / "other.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    reason = await reason_with(path) or ""
    assert reason.startswith("its certificate is another server's: IP address mismatch")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(-2, "Name or service not known"), "its name cannot be resolved: Name or service not known"),
        (ConnectionResetError(), "the connection was reset"),
        (TimeoutError(), "no connection was made in time"),
        (OSError(errno.ENETUNREACH, "x"), "no way leads there: Network is unreachable"),
        (OSError(errno.EMFILE, "x"), "the connection failed: Too many open files"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "TLS failed: "),
        (ValueError("a host\nno DNS can hold"), "ValueError: a host?no DNS can hold"),
    ],
)
def test_each_kind_of_failure_has_its_words(error: Exception, reason: str) -> None:
    outer = RuntimeError("around it")
    outer.__cause__ = error
    assert reason_of(outer).startswith(reason)


def test_a_circle_of_causes_ends() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert reason_of(first).startswith("RuntimeError")
