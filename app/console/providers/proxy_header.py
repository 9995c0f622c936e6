"""Whom a proxy in front names, if it is one that the operator trusts. Pure."""

from collections.abc import Sequence
from ipaddress import ip_address

from app.identity.people.names import spelled
from app.settings.settings import Settings


def named_by_proxy(peer: str, values: Sequence[str], settings: Settings) -> str | None:
    """The user whom the header names. `values`: what the request's headers of that name say.

    None: it is not there, is there twice, or `peer`, the other end of the connection, is not the proxy.
    """
    if len(values) != 1 or not _is_proxy(peer, settings):
        return None
    return spelled(values[0]) or None


def _is_proxy(peer: str, settings: Settings) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address  # IPv4 on a socket of both kinds
    return any(mapped in network for network in settings.console_proxy_cidrs)
