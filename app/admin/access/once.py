"""Requests that mint a secret and may come twice: the second one mints nothing. What was made is remembered in the list
of changes, in the transaction that made it, for a week.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from app.database.changes import Change, Wanted, list_changes, record_change
from app.errors import IdempotencyKeyReused

_ACTION = "key.request"
_REMEMBERED = timedelta(days=7)
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Once:
    """`key` is a digest of the Idempotency-Key, `fingerprint` one of what was asked for."""

    key: str
    fingerprint: str

    def find(self, connection: Connection, change: Change) -> str | None:
        """The id of the key that the same request of the same actor minted before; None if it is the first.

        Raises IdempotencyKeyReused if that was another request.
        """
        wanted = Wanted(since=change.now - _REMEMBERED, actor=change.actor, action=_ACTION)
        for made in list(list_changes(connection, _MOST, wanted)):  # all of it: the cursor is to be closed
            after = made.after or {}
            if made.actor == change.actor and after.get("idempotency_key") == self.key:
                if after.get("fingerprint") != self.fingerprint:
                    raise IdempotencyKeyReused("Another request was sent with this Idempotency-Key. Send a new one.")
                return made.target
        return None

    def remember(self, connection: Connection, key_id: str, change: Change) -> None:
        """Notes which key it minted."""
        after = {"idempotency_key": self.key, "fingerprint": self.fingerprint}
        record_change(connection, change, _ACTION, key_id, None, after)
