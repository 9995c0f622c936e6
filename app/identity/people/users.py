"""Users: made, found, listed, changed. Each change is recorded in its transaction, which
the caller opens and ends."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from app.database.changes import Change, lock_changes
from app.database.clock import from_ms
from app.database.schema.identity_tables import teams, users
from app.errors import Conflict, NotFound
from app.identity.people.many import UserRow, write_users
from app.identity.people.names import checked_name, spelled
from app.identity.people.roles import Role
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
    role: Role = Role.MEMBER
    managed_by: str | None = None  # what setup/managed.py reads


def create_user(
    connection: Connection, name: str, *, team: Team | None = None, role: Role = Role.MEMBER, change: Change
) -> User:
    """A new user, in a team or in none. Raises InvalidValue when the name is no name, Conflict when it is
    taken."""
    name = checked_name(name, "user")
    lock_changes(connection)
    if find_user(connection, name) is not None:
        raise Conflict(f"There is a user {name} already.")
    new = UserRow(f"user_{change.new_id()}", name, team.id if team else None, role, None, None)
    write_users(connection, [(None, new)], change)
    return _read(connection, new.id)


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


def change_user(connection: Connection, wanted: User, *, change: Change) -> User:
    """Gives the user the team, the role and the state of `wanted`: all use from now on counts for the team, and no key
    of a disabled user works. Changes nothing when all is so already. Raises NotFound when the user is no more.
    """
    now = _current(connection, wanted)
    was, new = _row(now), replace(_row(wanted), name=now.name, managed_by=now.managed_by)
    if was == new:
        return now
    write_users(connection, [(was, new)], change)
    return _read(connection, now.id)


def set_user_team(connection: Connection, user: User, team: Team | None, *, change: Change) -> User:
    """Moves the user to the team or out of every team."""
    return change_user(
        connection, replace(_current(connection, user), team_id=team.id if team else None), change=change
    )


def set_user_disabled(connection: Connection, user: User, *, disabled: bool, change: Change) -> User:
    """Disables or enables all keys of the user."""
    now = _current(connection, user)
    disabled_at = (now.disabled_at or change.now) if disabled else None
    return change_user(connection, replace(now, disabled_at=disabled_at), change=change)


def _current(connection: Connection, user: User) -> User:
    lock_changes(connection)
    now = find_user(connection, user.id)
    if now is None:
        raise NotFound(f"There is no user {user.name} any more.")
    return now


def _row(user: User) -> UserRow:
    return UserRow(user.id, user.name, user.team_id, user.role, user.disabled_at, user.managed_by)


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
        role=Role(row.role),
        managed_by=row.managed_by,
    )
