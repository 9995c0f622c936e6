"""Use cases of users: make with the default limits, list, move between teams, disable."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

from sqlalchemy import Connection

from app.admin.access.permissions import Permission, covers, permit
from app.admin.access.reaching import user_for
from app.admin.limits import limits_by_owner, limits_of
from app.admin.lookup.owners import existing_team
from app.admin.operator import Operator
from app.admin.views import UserView
from app.database.changes import Change
from app.errors import InvalidValue
from app.identity.keys.keys import list_keys
from app.identity.people import users as user_records
from app.identity.people.roles import Role
from app.identity.people.teams import Team
from app.identity.people.users import User
from app.quotas.limits.manage import copy_defaults, set_limit
from app.quotas.rules.limits import Scope, WrittenLimit
from app.setup.managed import refuse_managed


class UserFields(TypedDict, total=False):
    """What a user is to be. What is left out stays as it is; of a new user it is as usual."""

    team: str | None
    role: Role
    disabled: bool


def create_user(
    operator: Operator, name: str, *, team: str | None = None, limits: Sequence[WrittenLimit] = ()
) -> UserView:
    """Makes a user with a copy of the default limits; `limits` replace those with the same unit, window and model.

    Raises InvalidValue for an impossible name, Conflict for one that is taken, NotFound for the team.
    """
    permit(operator.principal, Permission.CHANGE_USERS)
    change = operator.change()
    with operator.writing() as connection:
        found = existing_team(connection, team) if team is not None else None
        user = add_user(connection, name, found, change)
        for written in limits:
            set_limit(connection, written.on(Scope.USER, user.id), change=change)
        return _view(connection, user)


def put_user(operator: Operator, name: str, fields: UserFields) -> tuple[UserView, bool]:
    """The user of this name or id with these fields, made if there is none; whether it was made.

    Raises InvalidValue, NotFound for the team, ChangedMeanwhile, and Conflict where a file sets what is to change.
    """
    permit(operator.principal, Permission.CHANGE_USERS)
    change = operator.change()
    with operator.writing() as connection:
        found = user_records.find_user(connection, name)
        operator.expected.check(_view(connection, found).as_json() if found else None)
        named = fields.get("team")
        team = existing_team(connection, named) if named is not None else None
        role = fields.get("role", found.role if found else Role.MEMBER)
        user = found or add_user(connection, name, team, change, role)
        wanted = replace(user, role=role, team_id=(team.id if team else None) if "team" in fields else user.team_id)
        if "disabled" in fields:
            wanted = replace(wanted, disabled_at=(user.disabled_at or change.now) if fields["disabled"] else None)
        changed = {"team": wanted.team_id != user.team_id, "role": wanted.role != user.role}
        changed["state"] = wanted.disabled_at is None and user.disabled_at is not None
        refuse_managed(user.managed_by, f"The user {user.name}", (field for field, is_new in changed.items() if is_new))
        return _view(connection, user_records.change_user(connection, wanted, change=change)), found is None


def add_user(connection: Connection, name: str, team: Team | None, change: Change, role: Role = Role.MEMBER) -> User:
    """The part of a use case that makes a user: every new user gets a copy of the default limits."""
    user = user_records.create_user(connection, name, team=team, role=role, change=change)
    copy_defaults(connection, user.id, change)
    return user


def list_users(operator: Operator) -> list[UserView]:
    """Every user that the role reaches, by name."""
    permit(operator.principal, Permission.READ_PEOPLE)
    with operator.reading() as connection:
        keys: dict[str, list[str]] = {}
        for key in list_keys(connection):
            keys.setdefault(key.user_id, []).append(key.id)
        limits = limits_by_owner(connection, Scope.USER)
        return [
            UserView(user, tuple(keys.get(user.id, ())), limits.get(user.id, ()))
            for user in user_records.list_users(connection)
            if covers(operator.principal, Permission.READ_PEOPLE, user.id, user.team_id)
        ]


def show_user(operator: Operator, name: str) -> UserView:
    """The user with this name or id. Raises NotFound."""
    with operator.reading() as connection:
        return _view(connection, user_for(operator, connection, name))


def disable_user(operator: Operator, name: str) -> UserView:
    """Stops all keys of the user from working. Changes nothing if they are stopped already. Raises NotFound."""
    return _set_disabled(operator, name, disabled=True)


def enable_user(operator: Operator, name: str) -> UserView:
    """Lets a disabled user's keys work again. Changes nothing if they work already.

    Raises NotFound; Conflict where a file says that the user is disabled.
    """
    return _set_disabled(operator, name, disabled=False)


def set_user_team(operator: Operator, name: str, team: str | None) -> UserView:
    """Moves the user into the team; None: out of every team. What they used before stays with the old team.

    Raises NotFound, and Conflict if a file sets the user's team.
    """
    change = operator.change()
    with operator.writing() as connection:
        user = user_for(operator, connection, name, Permission.CHANGE_USERS)
        found = existing_team(connection, team) if team is not None else None
        return _view(connection, move_user(connection, user, found, change))


def set_user_role(operator: Operator, name: str, role: str) -> UserView:
    """Gives the user that role; their keys have roles of their own.

    Raises NotFound, InvalidValue for a role that is none, and Conflict if a file sets the user's role.
    """
    change = operator.change()
    with operator.writing() as connection:
        user = user_for(operator, connection, name, Permission.CHANGE_USERS)
        if role not in list(Role):
            raise InvalidValue(f"There is no role {role!r}; there are {', '.join(Role)}.")
        refuse_managed(user.managed_by, f"The user {user.name}", ("role",))
        wanted = replace(user, role=Role(role))
        return _view(connection, user_records.change_user(connection, wanted, change=change))


def move_user(connection: Connection, user: User, team: Team | None, change: Change) -> User:
    """The part of a use case that moves a user. Raises Conflict if a file sets the user's team."""
    refuse_managed(user.managed_by, f"The user {user.name}", ("team",))
    return user_records.set_user_team(connection, user, team, change=change)


def _set_disabled(operator: Operator, name: str, *, disabled: bool) -> UserView:
    change = operator.change()
    with operator.writing() as connection:
        user = user_for(operator, connection, name, Permission.CHANGE_USERS)
        operator.expected.check(_view(connection, user).as_json())
        if not disabled and user.disabled_at is not None:
            refuse_managed(user.managed_by, f"The user {user.name}", ("state",))
        return _view(connection, user_records.set_user_disabled(connection, user, disabled=disabled, change=change))


def _view(connection: Connection, user: User) -> UserView:
    keys = tuple(key.id for key in list_keys(connection, user.id))
    return UserView(user, keys, limits_of(connection, Scope.USER, user.id))
