"""Keys, many at once, as a file wants them: made without a secret, given the secret of an imported key, or changed; one
line in the list of changes each.

In the caller's transaction, which holds the lock on changes since it read what is there.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from app.database.changes import Change, Values, differing, record_changes, write_rows
from app.database.clock import to_ms
from app.database.schema.identity_tables import key_secrets, keys
from app.identity.people.roles import Role


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it is, or is to be. `models` are full catalog ids."""

    id: str
    user_id: str
    name: str | None
    models: tuple[str, ...] | None
    expires_at: datetime | None
    disabled_at: datetime | None
    role: Role | None
    managed_by: str | None


def write_keys(connection: Connection, steps: Sequence[tuple[KeyRow | None, KeyRow]], change: Change) -> None:
    """Makes or changes keys: each is given as it is (None: it is new) and as it is to be. A new one has no
    secret yet.
    """
    new: list[dict[str, object]] = []
    changed: list[tuple[object, dict[str, object]]] = []
    for was, now in steps:
        values: dict[str, object] = {
            "name": now.name,
            "models": None if now.models is None else json.dumps(now.models),
            "expires_at_ms": None if now.expires_at is None else to_ms(now.expires_at),
            "disabled_at_ms": None if now.disabled_at is None else to_ms(now.disabled_at),
            "role": now.role,
            "managed_by": now.managed_by,
        }
        if was is None:
            new.append(values | {"id": now.id, "user_id": now.user_id, "created_at_ms": to_ms(change.now)})
        else:
            changed.append((now.id, values))
    write_rows(connection, keys, new, changed)
    record_changes(connection, change, [_line(was, now) for was, now in steps])


def read_secrets(connection: Connection) -> dict[bytes, str]:
    """The hash of every secret there is, replaced ones too, and whose it is: a key's id."""
    rows = connection.execute(select(key_secrets.c.secret_sha256, key_secrets.c.key_id))
    return {row.secret_sha256: row.key_id for row in rows}


def add_imported_secrets(connection: Connection, secrets: Sequence[tuple[str, bytes]], change: Change) -> None:
    """Lets keys be opened by what they were elsewhere: each is a key's id, and `imported_secret_sha256`."""
    rows = [
        {"secret_sha256": secret_sha256, "key_id": key_id, "created_at_ms": to_ms(change.now)}
        for key_id, secret_sha256 in secrets
    ]
    if rows:
        connection.execute(insert(key_secrets), rows)
    record_changes(connection, change, [("key.import", key_id, None, None) for key_id, _ in secrets])


def _line(was: KeyRow | None, now: KeyRow) -> tuple[str, str, Values | None, Values | None]:
    after = {name: value for name, value in _shown(now).items() if name != "id"}
    if was is None:
        return "key.create", now.id, None, after
    return "key.change", now.id, *differing(_shown(was), after)


def _shown(row: KeyRow) -> dict[str, object]:
    """As the list of changes has it."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(row).items()}
