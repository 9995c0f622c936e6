"""The records of teams, users and keys, under one name for the doors that administer them."""

from app.identity.keys.keys import Key, NewKey, create_key, find_key, list_keys, rotate_key, set_key_disabled
from app.identity.people.teams import Team, create_team, find_team, list_teams
from app.identity.people.users import User, create_user, find_user, list_users, set_user_disabled, set_user_team

__all__ = [
    "Key",
    "NewKey",
    "Team",
    "User",
    "create_key",
    "create_team",
    "create_user",
    "find_key",
    "find_team",
    "find_user",
    "list_keys",
    "list_teams",
    "list_users",
    "rotate_key",
    "set_key_disabled",
    "set_user_disabled",
    "set_user_team",
]
