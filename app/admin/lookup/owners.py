"""Finds users, teams and keys by the names people use, and suggests a similar name if there is none."""

from collections.abc import Iterable

from sqlalchemy import Connection

from app.admin.lookup.suggestion import suggestion
from app.errors import NotFound
from app.identity.keys.format import PREFIX, is_public_id
from app.identity.keys.keys import Key, find_key
from app.identity.people.teams import Team, find_team, list_teams
from app.identity.people.users import User, find_user, list_users


def existing_user(connection: Connection, name: str) -> User:
    """The user with this name or id. Raises NotFound, with a similar name."""
    user = find_user(connection, name)
    if user is None:
        close = suggestion(name, [known.name for known in list_users(connection)])
        raise NotFound(f"There is no user {name!r}.{close or ' `users list` shows those that are.'}")
    return user


def existing_team(connection: Connection, name: str) -> Team:
    """The team with this name or id. Raises NotFound, with a similar name."""
    team = find_team(connection, name)
    if team is None:
        close = suggestion(name, [known.name for known in list_teams(connection)])
        raise NotFound(f"There is no team {name!r}.{close or ' `teams list` shows those that are.'}")
    return team


def existing_key(connection: Connection, text: str) -> Key:
    """The key with this id. A whole key, or the part that logs show, works as well, and is never repeated.

    Raises NotFound.
    """
    key_id = text.strip().removeprefix(PREFIX).split("-", 1)[0]
    key = find_key(connection, key_id)
    if key is None:
        # The typed text may be a secret, so it is shown only if it has the form of an id.
        shown = f" {key_id}" if is_public_id(key_id) else " with this id"
        raise NotFound(f"There is no key{shown}; `keys list` shows those that are.")
    return key


def with_owner_ids(connection: Connection, values: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """These values by column, with the ids of users and teams that are named. What names nobody stays: it may be the
    id of somebody who is no more.
    """
    return tuple((column, _owner_id(connection, column, value)) for column, value in values)


def _owner_id(connection: Connection, column: str, value: str) -> str:
    match column:
        case "user_id":
            user = find_user(connection, value)
            return value if user is None else user.id
        case "team_id":
            team = find_team(connection, value)
            return value if team is None else team.id
    return value
