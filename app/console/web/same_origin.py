"""What is ours: the pages that a request which changes something may come from, the paths that a browser is sent to."""

from collections.abc import Container
from urllib.parse import urlsplit

HOME = "/console"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_PATH_CHARS_MAX = 1024


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


def safe_path(text: str) -> str:
    """`text` if it is a path of the console, else its beginning: nobody is sent elsewhere after signing in. Browsers
    read %2e as a dot. A long one would not fit into the cookie that keeps it while a provider is asked.
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        return HOME
    is_ours = not parts.scheme and not parts.netloc and (parts.path == HOME or parts.path.startswith(f"{HOME}/"))
    is_plain = len(text) <= _PATH_CHARS_MAX and text.isascii() and text.isprintable() and "\\" not in text
    if not is_ours or not is_plain or ".." in parts.path.lower().replace("%2e", "."):
        return HOME
    return text


def page_of_form(referer: str) -> str:
    """The page on which a form was filled in, as the browser names it; the beginning if it names none of ours. Only the
    path counts, so another host's page leads no further than one of ours with the same path.
    """
    try:
        parts = urlsplit(referer)
    except ValueError:
        return HOME
    return safe_path(parts.path + (f"?{parts.query}" if parts.query else ""))
