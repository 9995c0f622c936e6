"""Links to files: whoever has one may read the file until the link expires, and nobody can make one. A link names the
file's id and its own end, signed (HMAC-SHA256) with a secret that all gateways of a database share.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta

from app.database.gateway_secrets import Secret

SECRET_NAME = "file-links"  # noqa: S105 - its name
LEEWAY = timedelta(minutes=10)
"""How long a process may sign with an old secret before it knows of the new one, and how wrong clocks may be."""

_VERSION = "v1"
_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}
_OTHER = "bin"


def extension_of(content_type: str) -> str:
    """What a link to a file of that type ends with."""
    return _EXTENSIONS.get(content_type, _OTHER)


def base_url(public_url: str | None, host: str, port: int) -> str | None:
    """What links begin with: the operator's address, else the one listened on. None where that is every address."""
    if public_url is not None:
        return public_url
    if host in ("", "::", "0.0.0.0"):  # noqa: S104 - compared, not listened on
        return None
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def link_to(base: str, file_id: str, content_type: str, expires_at: datetime, secret: bytes) -> str:
    """The link to that file."""
    expires = int(expires_at.timestamp())
    signature = _signature(secret, file_id, expires)
    return f"{base}/files/{file_id}.{extension_of(content_type)}?exp={expires}&sig={signature}"


def is_signed(file_id: str, expires: int, signature: str, secrets: Sequence[Secret], seconds: float) -> bool:
    """Whether one of the `secrets`, the newest first, signed that link. An older one may only have signed what ends
    within the `seconds` that a link lives, counted from when it was replaced.
    """
    replaced_at: datetime | None = None
    for secret in secrets:
        good = hmac.compare_digest(_signature(secret.value, file_id, expires).encode(), signature.encode())
        if good and (replaced_at is None or expires <= _last_end(replaced_at, seconds)):
            return True
        replaced_at = secret.created_at
    return False


def needed(secrets: Sequence[Secret], now: datetime, seconds: float) -> Sequence[Secret]:
    """Those of the `secrets`, the newest first, that may have signed links which still live."""
    kept = [secret for secret, newer in zip(secrets[1:], secrets, strict=False) if _lives(newer, now, seconds)]
    return [*secrets[:1], *kept]


def _lives(newer: Secret, now: datetime, seconds: float) -> bool:
    return now.timestamp() <= _last_end(newer.created_at, seconds)


def _last_end(replaced_at: datetime, seconds: float) -> float:
    return (replaced_at + LEEWAY).timestamp() + seconds


def _signature(secret: bytes, file_id: str, expires: int) -> str:
    signed = f"{_VERSION}:{file_id}:{expires}".encode()
    return urlsafe_b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode().rstrip("=")
