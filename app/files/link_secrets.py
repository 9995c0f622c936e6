"""The secrets that links are signed with, as this process knows them: read at the start, again with every sweep, and
when a link comes that none of them has signed.
"""

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime
from functools import partial

from sqlalchemy import Engine

from app.database.gateway_secrets import SECRET_BYTES, Secret, kept_secrets, secret
from app.database.readers import Readers
from app.files.links import SECRET_NAME, is_signed, link_to

_READ_SECONDS_MAX = 10.0
_READ_AGAIN_SECONDS = 1.0  # however many forged links come


class LinkSecrets:
    """Makes and checks links. `seconds` is how long they live. Call `load` first."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime], seconds: float) -> None:
        self._engine = engine
        self._clock = clock
        self._seconds = seconds
        self._secrets: list[Secret] = []
        self._next_read_at = 0.0
        self._readers = Readers(1, "link-secrets")

    async def load(self) -> None:
        """Reads the secrets; the first process of a database makes the first. Raises StoreUnavailable."""
        self._secrets = await self._readers.run(self._read, _READ_SECONDS_MAX)

    def link(self, base: str, file_id: str, content_type: str, expires_at: datetime) -> str:
        """A link to that file, signed with the newest secret."""
        return link_to(base, file_id, content_type, expires_at, self._secrets[0].value)

    async def is_signed(self, file_id: str, expires: int, signature: str) -> bool:
        """Whether a gateway of this database made that link. Raises StoreUnavailable."""
        check = partial(is_signed, file_id, expires, signature)
        if check(self._secrets, self._seconds):
            return True
        monotonic = asyncio.get_running_loop().time
        if monotonic() < self._next_read_at:
            return False
        self._next_read_at = monotonic() + _READ_AGAIN_SECONDS
        await self.load()
        return check(self._secrets, self._seconds)

    def _read(self) -> list[Secret]:
        found = kept_secrets(self._engine, SECRET_NAME)
        if not found:
            secret(self._engine, SECRET_NAME, secrets.token_bytes(SECRET_BYTES), self._clock())
            found = kept_secrets(self._engine, SECRET_NAME)
        return found
