"""How HTTPX leaves this machine: the transport for ZenMux, and plain clients for all other hosts.

Opens no connection itself.
"""

import logging
import ssl
from functools import cached_property

import httpx2

from app.settings.settings import Settings
from app.upstream.http1.connection import IDLE_SECONDS_MAX
from app.upstream.http1.pool import PoolBounds
from app.upstream.http1.transport import Transport
from app.upstream.stock import StockTransport
from app.upstream.wire.certificates import trusted
from app.upstream.wire.proxies import proxy_of, uses_httpx


class Network:
    """Every method may raise ConfigurationError, for a way that cannot work."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """Made once, when it is first needed."""
        return trusted(self._settings)

    def transport(self, url: httpx2.URL, bounds: PoolBounds) -> httpx2.AsyncBaseTransport:
        """The transport that carries requests to `url`. Make it in the loop that will use it."""
        if not uses_httpx(self._settings, str(url)):
            return Transport(bounds, lambda: self.tls)
        most = bounds.connections_max
        return self._stock(url, httpx2.Limits(max_connections=most, max_keepalive_connections=most))

    def client(self, url: httpx2.URL, seconds: float = 10.0) -> httpx2.AsyncClient:
        """A client for everything but images, with the same proxy and certificates. `seconds` bounds each silence."""
        # HTTPX's own log line shows the whole URL of a request, which may be a secret.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        transport = self._stock(url, httpx2.Limits())
        return httpx2.AsyncClient(transport=transport, timeout=seconds, trust_env=False, follow_redirects=False)

    def _stock(self, url: httpx2.URL, limits: httpx2.Limits) -> StockTransport:
        limits.keepalive_expiry = IDLE_SECONDS_MAX
        found = proxy_of(self._settings, str(url))
        proxy = None if found is None else httpx2.Proxy(found)
        if proxy is not None and proxy.url.scheme == "https":
            proxy.ssl_context = self.tls
        return StockTransport(self.tls, limits, proxy)
