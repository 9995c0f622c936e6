"""What a request says of its being sent again: its Idempotency-Key, and the retry count of an SDK."""

import re

from starlette.requests import HTTPConnection

from app.api.headers import header
from app.errors import InvalidRequest

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_ESCAPED = re.compile(r"\\([\"\\])")
_COUNT = re.compile(r"[0-9]{1,4}")


def idempotency_key(connection: HTTPConnection) -> str | None:
    """The Idempotency-Key, raw or quoted as RFC 8941 quotes strings. Raises InvalidRequest for one that cannot be."""
    written = header(connection, b"idempotency-key")
    if written is None:
        return None
    key = written.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = _ESCAPED.sub(r"\1", key[1:-1])
    if not _KEY.fullmatch(key):
        raise InvalidRequest(
            "Idempotency-Key must be 1 to 255 printable ASCII characters, such as a UUID.",
            param=None,
            code="invalid_idempotency_key",
        )
    return key


def retry_count(connection: HTTPConnection) -> int:
    """How many times the SDK has sent this request before; 0 if it does not say."""
    written = header(connection, b"x-stainless-retry-count") or ""
    return int(written) if _COUNT.fullmatch(written) else 0
