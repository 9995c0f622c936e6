"""Which headers cross, in each direction: only those named here. Pure."""

from collections.abc import Iterable

import app

_BACK = frozenset({"content-type", "cache-control"})
_REQUEST_IDS = ("x-zenmux-requestid", "x-request-id")
_REQUEST_ID_LENGTH_MAX = 128


def request_headers(key: str, content_type: str) -> dict[str, str]:
    """All that ZenMux is told: the gateway's own key and name. Nothing of the caller crosses."""
    return {
        "authorization": f"Bearer {key}",
        "content-type": content_type,
        "accept": "application/json, text/event-stream",
        "accept-encoding": "identity",
        "user-agent": f"zenmux-gateway/{app.__version__}",
    }


def response_headers(received: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """What goes back to the caller, in ASGI's form. Content-Length is the relay's to set."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in received if name.lower() in _BACK]


def upstream_request_id(received: Iterable[tuple[str, str]]) -> str | None:
    """ZenMux's id of the request, for our own records; None when there is none, or it is no sane id."""
    found = {name.lower(): value for name, value in received}
    for name in _REQUEST_IDS:
        value = found.get(name, "")
        if value and value.isascii() and value.isprintable():
            return value[:_REQUEST_ID_LENGTH_MAX]
    return None
