"""Use cases of keys: mint, list, disable, rotate. A key's text is returned once, in a MintedKeyView."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypedDict

from sqlalchemy import Connection

from app.admin.access.leads import check_new_key, check_owner
from app.admin.access.once import Once
from app.admin.access.permissions import Permission, Reach, covers, permit
from app.admin.access.reaching import key_for, user_for
from app.admin.limits import limits_by_owner, limits_of, refuse_above_team
from app.admin.lookup.owners import existing_user
from app.admin.operator import Operator
from app.admin.users import add_user
from app.admin.views import KeyView, MintedKeyView, UserView
from app.database.changes import Change
from app.identity.keys import keys as key_records
from app.identity.keys.credentials import read_credential
from app.identity.keys.format import PUBLIC_ID_BYTES, SECRET_BYTES, mint, mint_again, parse
from app.identity.keys.keys import Key, NewKey
from app.identity.people.roles import Role
from app.identity.people.users import User, find_user, list_users
from app.quotas.limits.manage import set_limit
from app.quotas.rules.limits import Scope, WrittenLimit
from app.setup.managed import refuse_managed, refuse_renaming


@dataclass(frozen=True, slots=True)
class WantedKey:
    """A key to be made for the user with this name or id. `models` are full ids, None for every model; `role`:
    what it may administer, None for nothing.
    """

    user: str
    name: str | None = None
    models: tuple[str, ...] | None = None
    expires_at: datetime | None = None
    limits: Sequence[WrittenLimit] = ()
    role: Role | None = None


class KeyFields(TypedDict, total=False):
    """What a key is to be. What is left out stays as it is."""

    name: str | None
    models: tuple[str, ...] | None
    expires_at: datetime | None
    role: Role | None
    disabled: bool


def create_key(operator: Operator, wanted: WantedKey) -> MintedKeyView:
    """Makes a key, and its user with the default limits if there is none.

    Raises InvalidValue for impossible names, models and times; NotPermitted, also for a lead's own key.
    """
    change = operator.change()
    with operator.writing() as connection:
        return _create(operator, connection, wanted, change)


def create_key_once(operator: Operator, wanted: WantedKey, once: Once) -> MintedKeyView | KeyView:
    """The same for a request that may come twice: the second time, the key without its text.

    Raises IdempotencyKeyReused if the first was another request.
    """
    change = operator.change()
    return _mint_once(operator, once, change, lambda connection: _create(operator, connection, wanted, change))


def list_keys(operator: Operator, user: str | None = None) -> list[KeyView]:
    """Every key that the role reaches, or every key of one user, oldest first. Raises NotFound for the user."""
    permit(operator.principal, Permission.READ_PEOPLE)
    with operator.reading() as connection:
        owner = user_for(operator, connection, user) if user is not None else None
        limits = limits_by_owner(connection, Scope.KEY)
        keys = key_records.list_keys(connection, owner.id if owner else None)
        teams = {each.id: each.team_id for each in list_users(connection)}
        return [
            KeyView(key, limits.get(key.id, ()))
            for key in keys
            if covers(operator.principal, Permission.READ_PEOPLE, key.user_id, teams[key.user_id])
        ]


def show_key(operator: Operator, key_id: str) -> KeyView:
    """The key with this id. Raises NotFound."""
    with operator.reading() as connection:
        return _view(connection, key_for(operator, connection, key_id))


def disable_key(operator: Operator, key_id: str) -> KeyView:
    """Stops the key from working. Changes nothing if it is disabled already. Raises NotFound."""
    return _set_disabled(operator, key_id, Permission.DISABLE_KEYS, disabled=True)


def enable_key(operator: Operator, key_id: str) -> KeyView:
    """Lets a disabled key work again. Changes nothing if it works already. Raises NotFound; Conflict where a file says
    that it is disabled.
    """
    return _set_disabled(operator, key_id, Permission.CHANGE_KEYS, disabled=False)


def change_key(operator: Operator, key_id: str, fields: KeyFields) -> KeyView:
    """Gives the key these fields. Raises NotFound, InvalidValue, ChangedMeanwhile; Conflict where a file sets one, or
    knows the key by the name that is to change."""
    permit(operator.principal, Permission.CHANGE_KEYS)
    change = operator.change()
    with operator.writing() as connection:
        key = key_for(operator, connection, key_id, Permission.CHANGE_KEYS)
        operator.expected.check(_view(connection, key).as_json())
        wanted = replace(
            key,
            name=fields.get("name", key.name),
            models=fields.get("models", key.models),
            expires_at=fields.get("expires_at", key.expires_at),
            role=fields.get("role", key.role),
        )
        if "disabled" in fields:
            wanted = replace(wanted, disabled_at=(key.disabled_at or change.now) if fields["disabled"] else None)
        if wanted.name != key.name:
            refuse_renaming(key.managed_by, f"The key {key.id}")
        changed = {
            "models": wanted.models != key.models,
            "expires": wanted.expires_at != key.expires_at,
            "state": wanted.disabled_at is None and key.disabled_at is not None,
        }
        refuse_managed(key.managed_by, f"The key {key.id}", (field for field, is_new in changed.items() if is_new))
        return _view(connection, key_records.change_key(connection, wanted, change=change))


def rotate_key(operator: Operator, key_id: str, overlap: timedelta) -> MintedKeyView:
    """Gives the key a new text. The old text works for `overlap` more. Id, limits and usage stay.

    Raises NotFound, ChangedMeanwhile; InvalidValue for an overlap that is not between 0 and 366 days.
    """
    change = operator.change()
    with operator.writing() as connection:
        return _rotate(operator, connection, (key_id, overlap), change)


def rotate_key_once(operator: Operator, key_id: str, overlap: timedelta, once: Once) -> MintedKeyView | KeyView:
    """The same for a request that may come twice, as with `create_key_once`."""
    change = operator.change()
    return _mint_once(
        operator, once, change, lambda connection: _rotate(operator, connection, (key_id, overlap), change)
    )


def key_opens(operator: Operator, text: str) -> bool:
    """Whether this text of a key would be accepted now."""
    presented = parse(text)
    if presented is None:
        return False
    with operator.reading() as connection:
        credential = read_credential(connection, presented)
    return credential is not None and credential.refusal(operator.now) is None


def _create(operator: Operator, connection: Connection, wanted: WantedKey, change: Change) -> MintedKeyView:
    permit(operator.principal, Permission.MINT_KEYS)
    if wanted.role is not None:
        permit(operator.principal, Permission.CHANGE_KEYS)
    minted = mint(operator.random_bytes(PUBLIC_ID_BYTES), operator.random_bytes(SECRET_BYTES))
    found = _owner_for(operator, connection, wanted.user)
    owner = found or add_user(connection, wanted.user, None, change)
    check_new_key(operator.principal, owner.id)
    if wanted.limits:
        check_owner(operator.principal, Scope.KEY, owner.id)
        refuse_above_team(operator, connection, [each.on(Scope.KEY, minted.id) for each in wanted.limits])
    new = NewKey(owner.id, wanted.name, wanted.models, wanted.expires_at, wanted.role)
    key = key_records.create_key(connection, new, minted, change=change)
    for written in wanted.limits:
        set_limit(connection, written.on(Scope.KEY, key.id), change=change)
    return MintedKeyView(minted.text, _view(connection, key), _owner(connection, key), found is None)


def _rotate(operator: Operator, connection: Connection, how: tuple[str, timedelta], change: Change) -> MintedKeyView:
    key_id, overlap = how
    key = key_for(operator, connection, key_id, Permission.MINT_KEYS)
    operator.expected.check(_view(connection, key).as_json())
    minted = mint_again(key.id, operator.random_bytes(SECRET_BYTES))
    key = key_records.rotate_key(connection, key.id, minted, overlap, change=change)
    return MintedKeyView(minted.text, _view(connection, key), _owner(connection, key))


def _mint_once(
    operator: Operator, once: Once, change: Change, mint_key: Callable[[Connection], MintedKeyView]
) -> MintedKeyView | KeyView:
    permit(operator.principal, Permission.MINT_KEYS)
    with operator.writing() as connection:
        key_id = once.find(connection, change)
        if key_id is not None:
            return _view(connection, key_for(operator, connection, key_id))
        made = mint_key(connection)
        once.remember(connection, made.key.key.id, change)
        return made


def _set_disabled(operator: Operator, key_id: str, action: Permission, *, disabled: bool) -> KeyView:
    change = operator.change()
    with operator.writing() as connection:
        key = key_for(operator, connection, key_id, action)
        operator.expected.check(_view(connection, key).as_json())
        if not disabled and key.disabled_at is not None:
            refuse_managed(key.managed_by, f"The key {key.id}", ("state",))
        return _view(connection, key_records.set_key_disabled(connection, key.id, disabled=disabled, change=change))


def _owner_for(operator: Operator, connection: Connection, name: str) -> User | None:
    """The user a key is made for; None if there is none and one may be made."""
    if permit(operator.principal, Permission.MINT_KEYS) is Reach.ALL:
        return find_user(connection, name)
    return user_for(operator, connection, name, Permission.MINT_KEYS)


def _view(connection: Connection, key: Key) -> KeyView:
    return KeyView(key, limits_of(connection, Scope.KEY, key.id))


def _owner(connection: Connection, key: Key) -> UserView:
    owner = existing_user(connection, key.user_id)
    keys = tuple(each.id for each in key_records.list_keys(connection, owner.id))
    return UserView(owner, keys, limits_of(connection, Scope.USER, owner.id))
