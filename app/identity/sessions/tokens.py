"""The tokens of sessions and of login links: random, and kept only as their SHA-256. Pure."""

import base64
import hashlib
import re
from typing import NamedTuple

from pydantic import SecretStr

TOKEN_BYTES = 32

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class Token(NamedTuple):
    """A token just made: `text` goes to the browser once, `sha256` to the database."""

    text: SecretStr
    sha256: bytes


def new_token(random_bytes: bytes) -> Token:
    """A token out of TOKEN_BYTES random bytes. Other lengths raise ValueError."""
    if len(random_bytes) != TOKEN_BYTES:
        raise ValueError(f"{TOKEN_BYTES} random bytes are needed, not {len(random_bytes)}")
    text = base64.urlsafe_b64encode(random_bytes).rstrip(b"=").decode("ascii")
    return Token(SecretStr(text), hashlib.sha256(text.encode("ascii")).digest())


def token_sha256(text: str) -> bytes | None:
    """The hash by which a presented token is found; None for a text that cannot be one."""
    return hashlib.sha256(text.encode("ascii")).digest() if _TOKEN.fullmatch(text) else None
