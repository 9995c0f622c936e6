"""The server that a connection leads to."""

from dataclasses import dataclass

import httpx2

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """A server, and whether TLS is spoken with it."""

    tls: bool
    host: str
    port: int


def origin_of(url: httpx2.URL) -> Origin:
    """The server of a URL. Raises LocalProtocolError for a URL without one."""
    scheme, host = url.scheme, url.raw_host
    if scheme not in _DEFAULT_PORTS or not host:
        raise httpx2.LocalProtocolError("The URL is not one of http or https with a host.")
    return Origin(scheme == "https", host.decode("ascii"), url.port or _DEFAULT_PORTS[scheme])
