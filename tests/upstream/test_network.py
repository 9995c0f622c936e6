"""The way out: which proxy and which transport the settings and the environment choose, and a real proxy on the way."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.errors import ConfigurationError, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamUnreachable
from app.settings.settings import Settings
from app.settings.values import is_loopback
from app.upstream.http1.pool import PoolBounds
from app.upstream.http1.transport import Transport
from app.upstream.network import Network
from app.upstream.stock import StockTransport
from app.upstream.wire.proxies import check_way, proxy_of, uses_httpx
from app.upstream.zenmux import Upstream
from tests.upstream.asking import both_loops
from tests.upstream.forward_proxy import Proxy, forward_proxy
from tests.upstream.raw_server import Connection, answered, serve
from tests.upstream.test_zenmux import Sendings, ask, upstream_at

anyio_backend = both_loops

CERTIFICATE = Path(__file__).parent / "localhost.pem"
ZENMUX = "https://zenmux.ai/api/v1"
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def settings(**chosen: Any) -> Settings:
    return Settings(_env_file=None, **chosen)


def network(**chosen: Any) -> Network:
    return Network(settings(**chosen))


class TestProxyOf:
    @pytest.mark.parametrize(
        ("environment", "url", "proxy"),
        [
            ({}, "https://zenmux.ai", None),
            ({"HTTPS_PROXY": "http://p:1"}, "https://zenmux.ai", "http://p:1"),
            ({"https_proxy": "http://p:1"}, "https://zenmux.ai", "http://p:1"),
            ({"HTTPS_PROXY": "p:1"}, "https://zenmux.ai", "http://p:1"),
            ({"HTTP_PROXY": "http://p:1"}, "https://zenmux.ai", None),
            ({"HTTP_PROXY": "http://p:1"}, "http://zenmux.test", "http://p:1"),
            ({"ALL_PROXY": "socks5://p:1"}, "https://zenmux.ai", "socks5://p:1"),
            ({"HTTPS_PROXY": "http://p:1", "ALL_PROXY": "http://q:1"}, "https://zenmux.ai", "http://p:1"),
            ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "zenmux.ai"}, "https://zenmux.ai", None),
            ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".ai,b.test"}, "https://zenmux.ai", None),
            ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://zenmux.ai", None),
            ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "zenmux.ai:8443"}, "https://zenmux.ai:8443", None),
            ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "mux.ai"}, "https://zenmux.ai", "http://p:1"),
            ({"HTTP_PROXY": "http://p:1"}, "http://127.0.0.1:8090", None),
            ({"HTTP_PROXY": "http://p:1"}, "http://localhost:8090", None),
            ({"HTTP_PROXY": "http://p:1"}, "http://[::1]:8090", None),
        ],
    )
    def test_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, proxy: str | None
    ) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert proxy_of(settings(), url) == proxy

    def test_of_the_settings_comes_first_but_never_for_this_machine_or_what_no_proxy_names(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://other:1")
        monkeypatch.setenv("NO_PROXY", "hooks.internal")
        chosen = settings(upstream_proxy="http://mine:1")
        assert proxy_of(chosen, ZENMUX) == "http://mine:1"
        assert proxy_of(chosen, "http://127.8.8.8:1") is None
        assert proxy_of(chosen, "https://hooks.internal/x") is None

    @pytest.mark.parametrize(
        ("host", "expected"),
        [("localhost", True), ("a.localhost", True), ("127.1.2.3", True), ("::1", True), ("10.0.0.1", False),
         ("zenmux.ai", False), ("localhost.evil.test", False)],
    )  # fmt: skip
    def test_is_loopback(self, host: str, expected: bool) -> None:
        assert is_loopback(host) is expected


class TestTransport:
    @pytest.mark.parametrize(
        ("kind", "proxy", "ours"),
        [("auto", None, True), ("auto", "http://p:1", False), ("httpx", None, False), ("httpx", "http://p:1", False),
         ("http1", None, True)],
    )  # fmt: skip
    async def test_is_chosen(self, kind: str, proxy: str | None, ours: bool) -> None:
        made = network(upstream_transport=kind, upstream_proxy=proxy).transport(httpx2.URL(ZENMUX), PoolBounds(1, 1, 1))
        assert type(made) is (Transport if ours else StockTransport)
        await made.aclose()

    def test_ours_and_a_proxy_contradict_each_other(self) -> None:
        with pytest.raises(ConfigurationError, match="GATEWAY_UPSTREAM_TRANSPORT=http1"):
            check_way(settings(upstream_transport="http1", upstream_proxy="http://p:1"), ZENMUX)

    def test_ours_passes_the_environments_proxies_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
        assert not uses_httpx(settings(upstream_transport="http1"), ZENMUX)
        assert uses_httpx(settings(), ZENMUX)

    def test_a_ca_file_must_hold_certificates(self, tmp_path: Path) -> None:
        file = tmp_path / "ca.pem"
        with pytest.raises(ConfigurationError, match="GATEWAY_UPSTREAM_CA_FILE"):
            check_way(settings(upstream_ca_file=file), ZENMUX)
        file.write_text("no certificate")
        with pytest.raises(ConfigurationError, match="GATEWAY_UPSTREAM_CA_FILE"):
            check_way(settings(upstream_ca_file=file), ZENMUX)

    def test_socks_needs_its_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(ConfigurationError, match=r"zenmux-gateway\[socks\]"):
            check_way(settings(upstream_proxy="socks5://p:1"), ZENMUX)

    def test_a_proxy_of_the_environment_that_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "gopher://p:1")
        with pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
            check_way(settings(), ZENMUX)


@asynccontextmanager
async def through(proxy: Proxy, port: int, scheme: str = "https", **more: Any) -> AsyncIterator[Upstream]:
    """The way to a server on `port` that leads through the proxy: its name is not this machine's."""
    chosen = {"upstream_proxy": proxy.url, "upstream_ca_file": CERTIFICATE, "connect_retries": 0, **more}
    async with upstream_at(f"{scheme}://zenmux.test:{port}", **chosen) as upstream:
        yield upstream


def server_side() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


async def answer_ok(connection: Connection) -> None:
    await connection.send(answered(b"ok"))


async def refused(upstream: Upstream) -> UpstreamError:
    """What asking fails with; nothing was announced, so nothing is charged."""
    sendings = Sendings()
    with pytest.raises(UpstreamError) as raised:
        await ask(upstream, sendings)
    assert sendings.count == 0
    return raised.value


class TestThroughAProxy:
    async def test_a_tunnel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # The certificate is for localhost; what is shown here is the way, so the name is not looked at.
        monkeypatch.setattr(Network, "tls", _unchecked())
        sendings = Sendings()
        async with (
            forward_proxy() as proxy,
            serve(answer_ok, tls=server_side()) as server,
            through(proxy, server.port) as upstream,
        ):
            for _ in range(2):
                assert (await ask(upstream, sendings))[1] == b"ok"
            assert proxy.asked == [f"CONNECT zenmux.test:{server.port} HTTP/1.1"]
            assert (server.connections_made, sendings.count) == (1, 2)
            assert b"uthorization" not in proxy.heads[0]

    async def test_absolute_form(self) -> None:
        sendings = Sendings()
        async with (
            forward_proxy() as proxy,
            serve(answer_ok) as server,
            through(proxy, server.port, "http") as upstream,
        ):
            assert (await ask(upstream, sendings))[1] == b"ok"
            assert proxy.asked == [f"POST http://zenmux.test:{server.port}/api/v1/images/generations HTTP/1.1"]
            assert server.requests[0].startswith(b"POST /api/v1/images/generations HTTP/1.1\r\n")
            assert sendings.count == 1

    async def test_socks5(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Network, "tls", _unchecked())
        sendings = Sendings()
        async with (
            forward_proxy(socks=True) as proxy,
            serve(answer_ok, tls=server_side()) as server,
            through(proxy, server.port) as upstream,
        ):
            assert (await ask(upstream, sendings))[1] == b"ok"
            assert (proxy.asked, sendings.count) == ([f"zenmux.test:{server.port}"], 1)

    async def test_a_name_and_a_password(self) -> None:
        async with forward_proxy() as proxy, serve(answer_ok) as server:
            named = proxy.url.replace("http://", "http://me:secret@")
            async with through(proxy, server.port, "http", upstream_proxy=named) as upstream:
                await ask(upstream)
            assert b"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in proxy.heads[0]
            assert b"roxy-" not in server.requests[0].split(b"\r\n\r\n")[0].replace(b"Proxy-Authorization", b"")

    @pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway", "403 Forbidden"])
    async def test_that_refuses_the_tunnel_is_released(self, status: str) -> None:
        async with forward_proxy() as proxy, through(proxy, 1, connect_retries=1) as upstream:
            proxy.refuses = status
            error = await refused(upstream)
            assert isinstance(error, UpstreamUnreachable)
            assert (error.billed, len(proxy.asked)) == (False, 2)

    async def test_that_never_answers_is_released_within_the_time_to_connect(self) -> None:
        async with forward_proxy() as proxy, through(proxy, 1, connect_timeout_seconds=0.2) as upstream:
            proxy.hangs = True
            async with asyncio.timeout(5):
                assert isinstance(await refused(upstream), UpstreamUnreachable)

    async def test_that_cuts_the_tunnel_before_tls_is_released(self) -> None:
        async with (
            forward_proxy() as proxy,
            serve(Connection.until_client_closes, reads=False) as server,
            through(proxy, server.port) as upstream,
        ):
            proxy.cuts = True
            assert isinstance(await refused(upstream), UpstreamUnreachable)

    async def test_certificates_that_are_not_trusted_behind_it_are_released(self) -> None:
        async with (
            forward_proxy() as proxy,
            serve(answer_ok, tls=server_side()) as server,
            through(proxy, server.port, upstream_ca_file=None) as upstream,
        ):
            assert isinstance(await refused(upstream), UpstreamUnreachable)
            assert server.requests == []

    async def test_that_is_not_there_is_released(self) -> None:
        async with forward_proxy() as proxy:
            pass
        async with through(proxy, 1) as upstream:
            assert isinstance(await refused(upstream), UpstreamUnreachable)
            assert upstream.unreachable_since is not None

    async def test_407_in_absolute_form_is_an_answer_that_is_not_billed(self) -> None:
        async with forward_proxy() as proxy, through(proxy, 1, "http") as upstream:
            proxy.refuses = "407 Proxy Authentication Required"
            with pytest.raises(UpstreamRefused) as raised:
                await ask(upstream)
            assert raised.value.billed is False

    async def test_what_breaks_inside_the_tunnel_may_have_been_billed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Network, "tls", _unchecked())

        async def drop(connection: Connection) -> None:
            raise EOFError

        sendings = Sendings()
        async with (
            forward_proxy() as proxy,
            serve(drop, tls=server_side()) as server,
            through(proxy, server.port) as upstream,
        ):
            with pytest.raises(UpstreamBroken) as raised:
                await ask(upstream, sendings)
            assert (raised.value.billed, sendings.count, len(server.requests)) == (None, 1, 1)

    async def test_plain_clients_take_the_same_way(self) -> None:
        async with forward_proxy() as proxy, serve(answer_ok) as server:
            url = httpx2.URL(f"http://hooks.test:{server.port}/x")
            async with network(upstream_proxy=proxy.url).client(url) as client:
                assert (await client.post(url)).text == "ok"
            assert proxy.asked == [f"POST {url} HTTP/1.1"]


def _unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(CERTIFICATE))
    context.check_hostname = False
    return context
