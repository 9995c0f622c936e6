"""Changes, keys and people for the tests of this room."""

from datetime import UTC, datetime, timedelta
from itertools import count

from sqlalchemy import Connection

from app.database.changes import Change, list_changes
from app.identity.keys.format import PUBLIC_ID_BYTES, SECRET_BYTES, MintedKey, mint
from app.identity.keys.keys import Key, NewKey, create_key
from app.identity.people.users import create_user, find_user
from tests.database.revision import read_revision

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def change_at(now: datetime = NOW, prefix: str = "") -> Change:
    numbers = count(1)
    return Change(actor="root", now=now, new_id=lambda: f"{prefix}{next(numbers)}")


def minted(number: int, secret: int = 0) -> MintedKey:
    """The key with this number, and one of its secrets: the same ones at each call."""
    return mint(number.to_bytes(PUBLIC_ID_BYTES), bytes([number, secret]) * (SECRET_BYTES // 2))


def bearer(key: MintedKey) -> str:
    return f"Bearer {key.text.get_secret_value()}"


def make_key(connection: Connection, number: int = 1, user_name: str = "alice", **wanted: object) -> Key:
    """The key with this number, its user made where there is none."""
    change = change_at(prefix=f"{number}-")
    user = find_user(connection, user_name) or create_user(connection, user_name, change=change)
    return create_key(connection, NewKey(user.id, **wanted), minted(number), change=change)  # type: ignore[arg-type]


def recorded(connection: Connection) -> list[tuple[str, str, object, object]]:
    """Every change, oldest first. There is one revision for each."""
    changes = list(list_changes(connection, 1000))
    assert read_revision(connection) == len(changes)
    return [(entry.action, entry.target, entry.before, entry.after) for entry in reversed(changes)]
