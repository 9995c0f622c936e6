"""Keys, many at once, as a file wants them: made without a secret, or changed; one line in the list of changes each.

In the caller's transaction, which holds the lock on changes since it read what is there.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection

from app.database.changes import Change, Values, differing, record_changes, write_rows
from app.database.clock import to_ms
from app.database.schema.identity_tables import keys
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


def _line(was: KeyRow | None, now: KeyRow) -> tuple[str, str, Values | None, Values | None]:
    after = {name: value for name, value in _shown(now).items() if name != "id"}
    if was is None:
        return "key.create", now.id, None, after
    return "key.change", now.id, *differing(_shown(was), after)


def _shown(row: KeyRow) -> dict[str, object]:
    """As the list of changes has it."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(row).items()}
