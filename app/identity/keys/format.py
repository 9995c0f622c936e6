"""The form of a key, `sk-zg-<public id>-<secret>`, and the SHA-256 of its secret, which is all that is stored. And the
form of keys that another gateway made, and that go on working here. Pure.

Random bytes are arguments. The letters are digits and lower case without i, l, o and u, which are easily misread.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import SecretStr

PREFIX = "sk-zg-"
PUBLIC_ID_BYTES = 12
SECRET_BYTES = 40  # five bits of each are used: 200 bits

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PUBLIC_ID = re.compile(f"[{_ALPHABET}]{{{PUBLIC_ID_BYTES}}}")
_KEY = re.compile(f"{PREFIX}(?P<id>{_PUBLIC_ID.pattern})-(?P<secret>[{_ALPHABET}]{{{SECRET_BYTES}}})")
_IMPORTED = re.compile(rf"sk-(?!{PREFIX.removeprefix('sk-')})[!-~]{{17,}}")  # a shorter one could be guessed


@dataclass(frozen=True, slots=True)
class MintedKey:
    """A key just made. `text` is shown once and not stored. `id` is public. `secret_sha256` goes to the database."""

    text: SecretStr
    id: str
    secret_sha256: bytes = field(repr=False)


class PresentedKey(NamedTuple):
    """What a caller sent: the public id, and the SHA-256 of the secret. `id` None: an imported key, which has none."""

    id: str | None
    secret_sha256: bytes

    def __repr__(self) -> str:
        return f"PresentedKey(id={self.id!r})"


def mint(public_id_bytes: bytes, secret_bytes: bytes) -> MintedKey:
    """A new key out of PUBLIC_ID_BYTES and SECRET_BYTES random bytes; other lengths raise ValueError."""
    return mint_again(new_public_id(public_id_bytes), secret_bytes)


def new_public_id(public_id_bytes: bytes) -> str:
    """The public id of a new key out of PUBLIC_ID_BYTES random bytes; other lengths raise ValueError."""
    return _spell(public_id_bytes, PUBLIC_ID_BYTES)


def mint_again(key_id: str, secret_bytes: bytes) -> MintedKey:
    """A key with a new secret for the key that has `key_id`: what a rotation hands out. Raises ValueError."""
    if not is_public_id(key_id):
        raise ValueError("not a key's public id")
    secret = _spell(secret_bytes, SECRET_BYTES)
    return MintedKey(SecretStr(f"{PREFIX}{key_id}-{secret}"), key_id, _sha256(secret))


def parse(text: str) -> PresentedKey | None:
    """The key in `text`, or None when it is not exactly one: no spaces, no capitals, no other length. What begins with
    `sk-` and not with our prefix may be an imported key.
    """
    match = _KEY.fullmatch(text)
    if match:
        return PresentedKey(match["id"], _sha256(match["secret"]))
    if _IMPORTED.fullmatch(text):
        return PresentedKey(None, imported_secret_sha256(hashlib.sha256(text.encode("ascii")).hexdigest()))
    return None


def imported_secret_sha256(token_sha256: str) -> bytes:
    """What is stored for an imported key: the hash of the SHA-256 (64 hex digits) of its whole text.

    Our own secrets have 40 letters, so neither kind is found where the other is looked for.
    """
    return _sha256(token_sha256)


def is_public_id(text: str) -> bool:
    """Whether `text` has the form of a key's public id, so that it may be shown."""
    return _PUBLIC_ID.fullmatch(text) is not None


def _spell(random_bytes: bytes, length: int) -> str:
    if len(random_bytes) != length:
        raise ValueError(f"{length} random bytes are needed, not {len(random_bytes)}")
    return "".join(
        _ALPHABET[byte % len(_ALPHABET)] for byte in random_bytes
    )  # 256 is a multiple of 32, so all letters are equally likely


def _sha256(secret: str) -> bytes:
    # A plain hash is enough: nobody guesses 200 random bits, and a slow hash would cost every request.
    return hashlib.sha256(secret.encode("ascii")).digest()
