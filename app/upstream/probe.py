"""Connects to ZenMux once, as requests do, and reports what it saw. Sends no key and buys nothing."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from app.errors import RemoteFailure
from app.settings.settings import Settings
from app.upstream.headers import request_headers
from app.upstream.http1.pool import PoolBounds
from app.upstream.network import Network
from app.upstream.sending import FAILURES, Sending
from app.upstream.unreachable import reason_of
from app.upstream.wire.proxies import proxy_of, uses_httpx, without_password

_SILENCE_SECONDS = 20.0
_GRACE_SECONDS = 0.25  # the same as in the client


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What the probe saw. `address` is the other end of the socket; with a proxy, the proxy's. `issuer` and `expires`
    are the certificate's, None without TLS. `status` is that of the answer to GET /models.
    """

    address: str | None
    proxy: str | None
    transport: str
    issuer: str | None
    expires: str | None
    status: int


async def look(settings: Settings) -> ProbeReport:
    """Makes the connection and the request. Raises RemoteFailure that says why no answer came and what to do, and
    ConfigurationError for settings that cannot work. Takes half a minute at most.
    """
    network, url = Network(settings), httpx2.URL(settings.zenmux_base_url + "/models")
    is_stock = uses_httpx(settings, str(url))
    found = proxy_of(settings, str(url)) if is_stock else None
    proxy = None if found is None else without_password(found)
    connect = settings.connect_timeout_seconds
    transport = network.transport(url, PoolBounds(connect, _SILENCE_SECONDS, connections_max=1))
    timeouts = httpx2.Timeout(connect=connect, pool=connect, read=_SILENCE_SECONDS, write=_SILENCE_SECONDS).as_dict()
    request = httpx2.Request("GET", url, headers=request_headers(None, None), extensions={"timeout": timeouts})
    try:
        async with asyncio.timeout(connect + _GRACE_SECONDS) as deadline:

            async def sent() -> None:
                deadline.reschedule(asyncio.get_running_loop().time() + _SILENCE_SECONDS)

            request.extensions["trace"] = Sending(sent, deadline)
            response = await transport.handle_async_request(request)
        try:
            stream = response.extensions["network_stream"]
            issuer, expires = _certificate(stream.get_extra_info("ssl_object"))
            address = _address(stream.get_extra_info("server_addr"))
        finally:
            await response.aclose()
    except FAILURES as error:
        raise RemoteFailure(_advice(error, proxy)) from error
    finally:
        await transport.aclose()
    return ProbeReport(address, proxy, "httpx" if is_stock else "http1", issuer, expires, response.status_code)


def _certificate(tls: ssl.SSLObject | None) -> tuple[str | None, str | None]:
    """The issuer and the end of the certificate."""
    found: Mapping[str, Any] = (tls.getpeercert() or {}) if tls is not None else {}
    issuer = {name: value for ((name, value), *_) in found.get("issuer", ())}
    named = [issuer[each] for each in ("commonName", "organizationName") if each in issuer]
    return ", ".join(named) or None, found.get("notAfter")


def _address(found: object) -> str | None:
    if not isinstance(found, tuple) or len(found) < 2:
        return None
    host, port = found[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _advice(error: Exception, proxy: str | None) -> str:
    way = f"through {proxy}" if proxy else "directly"
    why = reason_of(error)
    advice = "check ZENMUX_BASE_URL, and that nothing in between is down"
    if isinstance(error, httpx2.ProxyError):
        advice = "ask whoever runs the proxy; a 407 wants GATEWAY_UPSTREAM_PROXY=http://name:password@host:port"
    elif "certificate is not trusted" in why:
        advice = "if your company inspects TLS, name its CA in GATEWAY_UPSTREAM_CA_FILE"
    elif proxy is None:
        advice = "if only a proxy leads out of here, name it in GATEWAY_UPSTREAM_PROXY"
    return f"ZenMux cannot be reached {way}: {why}; {advice}"
