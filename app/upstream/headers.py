"""Which headers are passed on, in each direction: only those named here. Pure. Gets no header of a caller."""

import re
from collections.abc import Iterable

import app

# The relay sets Content-Length, because bytes may be removed. There is no Content-Encoding: the transport decompresses.
_BACK = frozenset({"content-type", "cache-control"})
_REQUEST_IDS = ("x-zenmux-requestid", "x-request-id", "x-generation-id")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_REQUEST_ID_LENGTH_MAX = 128
# Every header that is used here. The rest of an answer's headers need not be decoded.
LOOKED_AT = frozenset(name.encode() for name in (*_BACK, *_REQUEST_IDS, "content-length", "content-encoding"))


def request_headers(key: str | None, content_type: str | None) -> dict[str, str]:
    """All headers sent to ZenMux, besides Host and Content-Length: the gateway's own key and name.

    Without a body there is no `content_type`. `accept` is what OpenAI's SDKs send, for streams too. Compression is
    declined, because images do not compress. Raises ValueError for a value that no header can hold.
    """
    headers = {
        "authorization": None if key is None else f"Bearer {key}",
        "content-type": content_type,
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": f"zenmux-gateway/{app.__version__}",
    }
    present = {name: value for name, value in headers.items() if value is not None}
    if any(_CONTROL.search(value) for value in present.values()):
        raise ValueError("A header holds what cannot be sent.")
    return present


def response_headers(received: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """The headers that go back to the caller, in ASGI's form. Names are in lower case."""
    return [(name.encode(), value.encode()) for name, value in received if name in _BACK and value.isascii()]


def upstream_request_id(received: Iterable[tuple[str, str]]) -> str | None:
    """ZenMux's id of the request, for our own records. None if there is none, or if it is not a valid id. Names are in
    lower case.
    """
    found = dict(received)
    for name in _REQUEST_IDS:
        value = found.get(name, "")
        if value and value.isascii() and value.isprintable() and " " not in value:
            return value[:_REQUEST_ID_LENGTH_MAX]
    return None


def media_type(content_type: str) -> str:
    """`content_type` without its parameters, in lower case; "" if there is none."""
    return content_type.partition(";")[0].strip().lower()


def content_length(length: str, content_encoding: str) -> int | None:
    """The length of the body as it is passed on. None if it is not given, or given for a compressed body."""
    plain = content_encoding.strip().lower() in ("", "identity")
    return int(length) if plain and length.isascii() and length.isdigit() and len(length) <= 18 else None
