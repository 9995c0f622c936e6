"""Keys: made, found, listed, disabled, rotated. Each change is recorded in its transaction, which the caller opens and
ends. Nothing here sees a secret, and no record of a change contains its hash.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, or_, select, update

from app.database.changes import Change, lock_changes, record_change
from app.database.clock import from_ms, to_ms
from app.database.schema.identity_tables import key_secrets, keys, users
from app.errors import Conflict, InvalidValue, NotFound
from app.identity.keys.format import MintedKey, is_public_id
from app.identity.keys.many import KeyRow, write_keys
from app.identity.people.names import checked_name
from app.identity.people.roles import Role
from app.identity.people.users import find_user

OVERLAP_MAX = timedelta(days=366)
MODELS_MAX = 100


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key. `id` is the public id inside it; `models` None means every model."""

    id: str
    user_id: str
    user_name: str
    name: str | None
    models: tuple[str, ...] | None
    created_at: datetime
    expires_at: datetime | None
    disabled_at: datetime | None
    role: Role | None = None  # what it may administer
    managed_by: str | None = None  # what setup/managed.py reads


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to be made. `models` are full catalog ids, None for every model; `expires_at` None for never; `role` None:
    it administers nothing.
    """

    user_id: str
    name: str | None = None
    models: tuple[str, ...] | None = None
    expires_at: datetime | None = None
    role: Role | None = None


def create_key(connection: Connection, new: NewKey, minted: MintedKey, *, change: Change) -> Key:
    """Makes a key for a user. Raises NotFound if the user is not there, InvalidValue for impossible values."""
    name = None if new.name is None else checked_name(new.name, "key")
    models = _checked_models(new.models)
    _refuse_past(new.expires_at, change)
    lock_changes(connection)
    user = find_user(connection, new.user_id)
    if user is None:
        raise NotFound("There is no such user to make a key for.")
    if find_key(connection, minted.id) is not None:
        raise Conflict("By chance the new key has the id of another one; try again.")
    row = KeyRow(minted.id, user.id, name, models, new.expires_at, None, new.role, None)
    write_keys(connection, [(None, row)], change)
    _add_secret(connection, minted, change)
    return _read(connection, minted.id)


def find_key(connection: Connection, key_id: str) -> Key | None:
    """The key with this public id, or None."""
    if not is_public_id(key_id):
        return None
    row = connection.execute(_select_keys().where(keys.c.id == key_id)).first()
    return None if row is None else _key_of(row)


def list_keys(connection: Connection, user_id: str | None = None) -> list[Key]:
    """Every key, or every key of one user, oldest first."""
    wanted = _select_keys().order_by(keys.c.created_at_ms, keys.c.id)
    if user_id is not None:
        wanted = wanted.where(keys.c.user_id == user_id)
    return [_key_of(row) for row in connection.execute(wanted)]


def change_key(connection: Connection, wanted: Key, *, change: Change) -> Key:
    """Gives the key the name, models, end, role and state of `wanted`. Changes nothing when all is so already.

    Raises NotFound; InvalidValue for impossible values, and for a new end that has passed.
    """
    key = _existing(connection, wanted.id)
    name = None if wanted.name is None else checked_name(wanted.name, "key")
    expires_at = None if wanted.expires_at is None else from_ms(to_ms(wanted.expires_at))  # as the row has it
    if expires_at != key.expires_at:
        _refuse_past(expires_at, change)
    new = replace(_row(wanted), name=name, models=_checked_models(wanted.models), expires_at=expires_at)
    if new == _row(key):
        return key
    write_keys(connection, [(_row(key), new)], change)
    return _read(connection, key.id)


def set_key_disabled(connection: Connection, key_id: str, *, disabled: bool, change: Change) -> Key:
    """Disables or enables the key. Changes nothing if it is so already. Raises NotFound."""
    key = _existing(connection, key_id)
    disabled_at = (key.disabled_at or change.now) if disabled else None
    return change_key(connection, replace(key, disabled_at=disabled_at), change=change)


def rotate_key(connection: Connection, key_id: str, minted: MintedKey, overlap: timedelta, *, change: Change) -> Key:
    """Gives the key the secret of `minted` (made by `mint_again`). Its older secrets work for `overlap` more, or until
    their own end if that is earlier. Id, limits and usage stay.

    Raises NotFound if there is no such key, InvalidValue if the overlap is not between 0 and 366 days.
    """
    if not timedelta() <= overlap <= OVERLAP_MAX:
        raise InvalidValue(f"The overlap must be between 0 and {OVERLAP_MAX.days} days.")
    key = _existing(connection, key_id)
    if minted.id != key_id:
        raise ValueError("the new secret was minted for another key")
    ends_at = change.now + overlap
    connection.execute(
        update(key_secrets)
        .where(key_secrets.c.key_id == key_id)
        .where(or_(key_secrets.c.expires_at_ms.is_(None), key_secrets.c.expires_at_ms > to_ms(ends_at)))
        .values(expires_at_ms=to_ms(ends_at))
    )
    _add_secret(connection, minted, change)
    record_change(connection, change, "key.rotate", key_id, None, {"old_secrets_end_at": ends_at.isoformat()})
    return key


def _add_secret(connection: Connection, minted: MintedKey, change: Change) -> None:
    connection.execute(
        insert(key_secrets).values(
            secret_sha256=minted.secret_sha256, key_id=minted.id, created_at_ms=to_ms(change.now)
        )
    )


def _refuse_past(expires_at: datetime | None, change: Change) -> None:
    if expires_at is not None and expires_at <= change.now:
        raise InvalidValue("The key would have expired already; give a time to come.")


def _row(key: Key) -> KeyRow:
    return KeyRow(
        *(key.id, key.user_id, key.name, key.models), key.expires_at, key.disabled_at, key.role, key.managed_by
    )


def _checked_models(models: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if models is None:
        return None
    if not models:
        raise InvalidValue("A key without any model could do nothing; leave the models out to allow every model.")
    if len(set(models)) > MODELS_MAX:
        raise InvalidValue(f"A key can name {MODELS_MAX} models at most; leave them out to allow every model.")
    return tuple(sorted({checked_name(model, "model") for model in models}))


def _existing(connection: Connection, key_id: str) -> Key:
    lock_changes(connection)
    key = find_key(connection, key_id)
    if key is None:
        # The typed text may be a whole key, so it is shown only if it has the form of an id.
        raise NotFound(f"There is no key {key_id}." if is_public_id(key_id) else "There is no key with this id.")
    return key


def _read(connection: Connection, key_id: str) -> Key:
    return _key_of(connection.execute(_select_keys().where(keys.c.id == key_id)).one())


def _select_keys() -> Select[Any]:
    return select(keys, users.c.name.label("user_name")).join_from(keys, users)


def _key_of(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        user_id=row.user_id,
        user_name=row.user_name,
        name=row.name,
        models=None if row.models is None else tuple(json.loads(row.models)),
        created_at=from_ms(row.created_at_ms),
        expires_at=None if row.expires_at_ms is None else from_ms(row.expires_at_ms),
        disabled_at=None if row.disabled_at_ms is None else from_ms(row.disabled_at_ms),
        role=None if row.role is None else Role(row.role),
        managed_by=row.managed_by,
    )
