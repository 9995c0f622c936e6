"""Finds users, teams and keys for somebody: what their role does not reach is answered as if it were not there."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from app.admin.access.permissions import Permission, Reach, covers, permit
from app.admin.lookup.owners import existing_key, existing_team, existing_user
from app.admin.operator import Operator
from app.errors import NotFound, NotPermitted
from app.identity.keys.keys import Key
from app.identity.people.teams import Team, find_team
from app.identity.people.users import User, find_user, list_users

_SEEN = Permission.READ_PEOPLE


def user_for(operator: Operator, connection: Connection, name: str, action: Permission = _SEEN) -> User:
    """The user with this name or id. Raises NotFound; NotPermitted where the role sees the user and may not do this."""
    principal = operator.principal
    permit(principal, action)
    if permit(principal, _SEEN) is Reach.ALL:
        return existing_user(connection, name)
    user = find_user(connection, name)  # without a similar name, which may be somebody else's
    if user is None or not covers(principal, _SEEN, user.id, user.team_id):
        raise NotFound(f"There is no user {name!r}.")
    if not covers(principal, action, user.id, user.team_id):
        raise NotPermitted(f"You may not: {action}, of the user {user.name}.")
    return user


def team_for(operator: Operator, connection: Connection, name: str, action: Permission = _SEEN) -> Team:
    """The same for a team."""
    principal = operator.principal
    permit(principal, action)
    if permit(principal, _SEEN) is Reach.ALL:
        return existing_team(connection, name)
    team = find_team(connection, name)
    if team is None or not sees_team(operator, team.id):
        raise NotFound(f"There is no team {name!r}.")
    return team


def key_for(operator: Operator, connection: Connection, key_id: str, action: Permission = _SEEN) -> Key:
    """The same for a key. Only who may give roles touches a key that has one."""
    permit(operator.principal, action)
    key = existing_key(connection, key_id)
    try:
        user_for(operator, connection, key.user_id, action)
    except NotFound:
        raise NotFound(f"There is no key {key.id}; `keys list` shows those that are.") from None
    if action is not _SEEN and key.role is not None:
        permit(operator.principal, Permission.CHANGE_KEYS)
    return key


def sees_team(operator: Operator, team_id: str) -> bool:
    """Whether the team itself is seen: by everybody who sees all, and by its leads."""
    match permit(operator.principal, _SEEN), operator.principal:
        case Reach.ALL, _:
            return True
        case Reach.TEAM, principal:
            return principal is not None and principal.team_id == team_id
    return False


@dataclass(frozen=True, slots=True)
class Reached:
    """The names of the users that the role reaches, by id; and whose rows a list has: None means everybody's, also of
    users that are no more.
    """

    names: Mapping[str, str]
    ids: frozenset[str] | None


def reached_users(operator: Operator, connection: Connection, action: Permission, only: str | None = None) -> Reached:
    """Those whose things a list shows; `only`: of the user with this name or id. Raises NotPermitted."""
    principal = operator.principal
    reach = permit(principal, action)
    names = {user.id: user.name for user in list_users(connection) if covers(principal, action, user.id, user.team_id)}
    ids = None if reach is Reach.ALL else frozenset(names)
    if only is None:
        return Reached(names, ids)
    user = find_user(connection, only)
    wished = frozenset([only if user is None else user.id])
    return Reached(names, wished if ids is None else wished & ids)
