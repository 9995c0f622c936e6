"""Users: made, found, listed, moved between teams, disabled. Each change is recorded in its transaction, which
the caller opens and ends."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from app.database.changes import Change, lock_changes, record_change
from app.database.clock import from_ms, to_ms
from app.database.schema.identity_tables import teams, users
from app.errors import Conflict, NotFound
from app.identity.people.names import checked_name, spelled
from app.identity.people.teams import Team


@dataclass(frozen=True, slots=True)
class User:
    """A person or a program that has keys. A disabled user's keys do not work."""

    id: str
    name: str
    team_id: str | None
    team_name: str | None
    created_at: datetime
    disabled_at: datetime | None
    role: str = "member"
    managed_by: str | None = None  # what setup/managed.py reads


def create_user(connection: Connection, name: str, *, team: Team | None = None, change: Change) -> User:
    """A new user, in a team or in none. Raises InvalidValue when the name is no name, Conflict when it is
    taken."""
    name = checked_name(name, "user")
    lock_changes(connection)
    if find_user(connection, name) is not None:
        raise Conflict(f"There is a user {name} already.")
    user_id, team_id = f"user_{change.new_id()}", team.id if team else None
    connection.execute(insert(users).values(id=user_id, name=name, team_id=team_id, created_at_ms=to_ms(change.now)))
    record_change(connection, change, "user.create", user_id, None, {"name": name, "team_id": team_id})
    return _read(connection, user_id)


def find_user(connection: Connection, name_or_id: str) -> User | None:
    """The user with this id; if there is none, the one with this name; or None."""
    wanted = spelled(name_or_id)
    if not wanted.isprintable():  # PostgreSQL accepts no NUL, and neither engine half a surrogate pair
        return None
    for column in (users.c.id, users.c.name):
        row = connection.execute(_select_users().where(column == wanted)).first()
        if row is not None:
            return _user_of(row)
    return None


def list_users(connection: Connection) -> list[User]:
    """Every user, by name."""
    found = [_user_of(row) for row in connection.execute(_select_users())]
    return sorted(found, key=lambda user: (user.name.casefold(), user.name))


def set_user_team(connection: Connection, user: User, team: Team | None, *, change: Change) -> User:
    """Moves the user, with all use from now on, to the team or out of every team.

    Changes nothing when the user is there already. Raises NotFound when the user is no more.
    """
    now = _current(connection, user)
    team_id = team.id if team else None
    if now.team_id == team_id:
        return now
    connection.execute(update(users).where(users.c.id == now.id).values(team_id=team_id))
    record_change(connection, change, "user.team", now.id, {"team_id": now.team_id}, {"team_id": team_id})
    return _read(connection, now.id)


def set_user_disabled(connection: Connection, user: User, *, disabled: bool, change: Change) -> User:
    """Disables or enables all keys of the user. Changes nothing when it is so already.

    Raises NotFound when the user is no more.
    """
    now = _current(connection, user)
    if (now.disabled_at is not None) == disabled:
        return now
    disabled_at_ms = to_ms(change.now) if disabled else None
    connection.execute(update(users).where(users.c.id == now.id).values(disabled_at_ms=disabled_at_ms))
    action = "user.disable" if disabled else "user.enable"
    record_change(connection, change, action, now.id, {"disabled": not disabled}, {"disabled": disabled})
    return _read(connection, now.id)


def _current(connection: Connection, user: User) -> User:
    lock_changes(connection)
    now = find_user(connection, user.id)
    if now is None:
        raise NotFound(f"There is no user {user.name} any more.")
    return now


def _read(connection: Connection, user_id: str) -> User:
    return _user_of(connection.execute(_select_users().where(users.c.id == user_id)).one())


def _select_users() -> Select[Any]:
    return select(users, teams.c.name.label("team_name")).outerjoin_from(users, teams)


def _user_of(row: Row[Any]) -> User:
    return User(
        id=row.id,
        name=row.name,
        team_id=row.team_id,
        team_name=row.team_name,
        created_at=from_ms(row.created_at_ms),
        disabled_at=None if row.disabled_at_ms is None else from_ms(row.disabled_at_ms),
        role=row.role,
        managed_by=row.managed_by,
    )
