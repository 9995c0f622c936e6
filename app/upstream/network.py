"""The way out of this machine: which proxy, whose certificates, which of HTTPX's transports.

For ZenMux, and for everybody else the gateway writes to. Opens no connection itself.
"""

import importlib.util
import logging
import ssl
from functools import cached_property
from ipaddress import ip_address
from urllib.request import getproxies_environment, proxy_bypass

import httpx2

from app.errors import ConfigurationError
from app.setting_values import UpstreamTransport
from app.settings import Settings
from app.upstream.http1.connection import IDLE_SECONDS_MAX
from app.upstream.http1.pool import Bounds
from app.upstream.http1.tls import tls_context
from app.upstream.http1.transport import Transport


class Network:
    """What the settings and the environment's HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """Made once, when it is wanted. Raises ConfigurationError where GATEWAY_UPSTREAM_CA_FILE is none."""
        try:
            return tls_context(self._settings.upstream_ca_file)
        except OSError as error:
            raise ConfigurationError(
                f"GATEWAY_UPSTREAM_CA_FILE: no certificates in PEM form can be read from "
                f"{self._settings.upstream_ca_file} ({error.strerror or type(error).__name__})."
            ) from None

    def proxy_of(self, url: httpx2.URL) -> str | None:
        """The proxy between here and `url`, if any: never for this machine itself, nor for what NO_PROXY names."""
        if is_loopback(url.host):
            return None
        if proxy_bypass(url.netloc.decode("ascii")):
            return None
        if self._settings.upstream_proxy is not None:
            return self._settings.upstream_proxy
        environment = getproxies_environment()
        found = environment.get(url.scheme) or environment.get("all")
        return None if not found else found if "://" in found else f"http://{found}"

    def uses_httpx(self, url: httpx2.URL) -> bool:
        """Whether stock HTTPX carries requests to `url`; else it is ours.

        Raises ConfigurationError where the settings contradict each other.
        """
        kind = self._settings.upstream_transport
        if kind is not UpstreamTransport.HTTP1:
            return kind is UpstreamTransport.HTTPX or self.proxy_of(url) is not None
        if self._settings.upstream_proxy is not None:
            raise ConfigurationError(
                "GATEWAY_UPSTREAM_TRANSPORT=http1 knows no proxies, and GATEWAY_UPSTREAM_PROXY is set: set one of them."
            )
        return False

    def transport(self, url: httpx2.URL, bounds: Bounds) -> httpx2.AsyncBaseTransport:
        """What carries requests to `url`. Make it in the loop that will use it. Raises ConfigurationError."""
        if not self.uses_httpx(url):
            return Transport(bounds, lambda: self.tls)
        most = bounds.connections_max
        limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=IDLE_SECONDS_MAX)
        return httpx2.AsyncHTTPTransport(verify=self.tls, trust_env=False, proxy=self._proxy(url), limits=limits)

    def client(self, url: httpx2.URL, seconds: float = 10.0) -> httpx2.AsyncClient:
        """A client for what is not images: the same proxy and certificates. `seconds` bounds each silence.

        Raises ConfigurationError.
        """
        # HTTPX's own line for each request shows its whole URL, which may be a secret.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        transport = httpx2.AsyncHTTPTransport(verify=self.tls, trust_env=False, proxy=self._proxy(url))
        return httpx2.AsyncClient(transport=transport, timeout=seconds, trust_env=False, follow_redirects=False)

    def check(self, url: httpx2.URL) -> None:
        """Raises ConfigurationError for what can be seen to be wrong before anything is sent."""
        if self._settings.upstream_ca_file is not None:
            self.tls  # noqa: B018 - reads the file
        if self.uses_httpx(url):
            self._proxy(url)

    def _proxy(self, url: httpx2.URL) -> httpx2.Proxy | None:
        found = self.proxy_of(url)
        if found is None:
            return None
        try:
            proxy = httpx2.Proxy(found)
        except (ValueError, httpx2.InvalidURL):
            raise ConfigurationError(
                "The proxy of HTTPS_PROXY, HTTP_PROXY or ALL_PROXY is not written as http://host:port."
            ) from None
        if proxy.url.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
            raise ConfigurationError("A socks5 proxy needs a package more: pip install 'zenmux-gateway[socks]'.")
        if proxy.url.scheme == "https":
            proxy.ssl_context = self.tls
        return proxy


def is_loopback(host: str) -> bool:
    """Whether it is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
