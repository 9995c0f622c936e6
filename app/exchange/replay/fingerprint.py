"""Whether two requests ask for the same: an HMAC of what is sent upstream. Pure.

Nobody without the gateway's secret can test a guess of a prompt against it.
"""

import hmac
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson


class FileDigest(NamedTuple):
    """One file of an edit: what it is for, and the BLAKE3 of its bytes; or its address."""

    role: str
    digest: bytes


def fingerprint(secret: bytes, operation: str, response_format: str, body: bytes) -> str:
    """Of a request whose document is `body`: that names the model, and says whether the answer streams."""
    return hmac.digest(secret, f"{operation}\0{response_format}\0".encode() + body, "sha256").hex()


def edit_document(fields: Mapping[str, object], files: Iterable[FileDigest]) -> bytes:
    """The document to take the fingerprint of, for an edit whose files lie on disk."""
    return orjson.dumps(
        {"fields": dict(fields), "files": [(each.role, each.digest.hex()) for each in files]},
        option=orjson.OPT_SORT_KEYS,
    )


def key_digest(secret: bytes, idempotency_key: str) -> str:
    """What is kept of a caller's key: it may say anything."""
    return hmac.digest(secret, b"key\0" + idempotency_key.encode(), "sha256").hex()
