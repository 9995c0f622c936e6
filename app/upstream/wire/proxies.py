"""Which proxy leads to a server, and which of HTTPX's transports that needs. Imports no HTTP client.

Reads the settings, and the environment's HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.
"""

import importlib.util
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from app.errors import ConfigurationError
from app.settings.settings import Settings
from app.settings.values import UpstreamTransport, is_loopback
from app.upstream.wire.certificates import trusted

_SCHEMES = ("http", "https", "socks5", "socks5h")


def proxy_of(settings: Settings, url: str) -> str | None:
    """The proxy to use for `url`, if any: never for this machine itself, or for hosts that NO_PROXY names.

    Raises ConfigurationError for a value that is not a proxy, or that needs a package that is not installed.
    """
    parts = urlsplit(url)
    if is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    if settings.upstream_proxy is not None:
        return _checked(settings.upstream_proxy)
    environment = getproxies_environment()
    found = environment.get(parts.scheme) or environment.get("all")
    return None if not found else _checked(found if "://" in found else f"http://{found}")


def uses_httpx(settings: Settings, url: str) -> bool:
    """Whether stock HTTPX carries requests to `url`; else our own transport does.

    Raises ConfigurationError if the settings contradict each other.
    """
    kind = settings.upstream_transport
    if kind is not UpstreamTransport.HTTP1:
        return kind is UpstreamTransport.HTTPX or proxy_of(settings, url) is not None
    if settings.upstream_proxy is not None:
        raise ConfigurationError(
            "GATEWAY_UPSTREAM_TRANSPORT=http1 knows no proxies, and GATEWAY_UPSTREAM_PROXY is set: set one of them."
        )
    return False


def check_way(settings: Settings, url: str) -> str:
    """Describes how requests to `url` leave. Raises ConfigurationError for faults that are visible before anything is
    sent.
    """
    if settings.upstream_ca_file is not None:
        trusted(settings)
    if not uses_httpx(settings, url):
        return "directly"
    proxy = proxy_of(settings, url)
    return f"through {without_password(proxy)}" if proxy else "directly, with stock HTTPX"


def without_password(proxy: str) -> str:
    """The proxy, without its password, so that it may be shown."""
    parts = urlsplit(proxy)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _checked(proxy: str) -> str:
    parts = urlsplit(proxy)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ConfigurationError(
            "The proxy of HTTPS_PROXY, HTTP_PROXY or ALL_PROXY is not written as http://host:port."
        )
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise ConfigurationError("A socks5 proxy needs a package more: pip install 'zenmux-gateway[socks]'.")
    return proxy
