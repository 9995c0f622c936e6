"""Whether a request that changes something comes from a page of ours."""

from collections.abc import Container
from urllib.parse import urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_from_here(method: str, fetch_site: str | None, origin: str | None, hosts: Container[str]) -> bool:
    """Judged by `Sec-Fetch-Site`; by `Origin` where a browser sends none of the first. Neither: no.

    `hosts` are the names, with a port where there is one, under which the gateway is reached.
    """
    if method in SAFE_METHODS:
        return True
    if fetch_site is not None:
        return fetch_site in ("same-origin", "none")
    if origin is None:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:  # brackets of an IPv6 address that is none
        return False
    return parts.scheme in ("http", "https") and parts.netloc in hosts
