"""The one table of who may do what: for each action, how far each role reaches. Every door asks it. Pure.

docs/roles.md is made from it; a test holds the two together.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from app.errors import NotPermitted
from app.identity.people.principal import Principal
from app.identity.people.roles import Role


class Reach(StrEnum):
    """Whose things an action may touch."""

    NONE = "no"
    OWN = "own"
    TEAM = "own team"
    ALL = "all"


class Permission(StrEnum):
    """What can be done; the value is the text of docs/roles.md."""

    READ_PEOPLE = "see teams, users, keys and limits; explain a request"
    READ_USAGE = "see usage, requests, reservations, refusals, jobs and files"
    READ_CHANGES = "see the list of changes"
    READ_CATALOG = "see the catalog; the status"
    READ_GATEWAY = "see accounts, reconciliations and OpenAI's reports"
    CHANGE_TEAMS = "make and change teams"
    CHANGE_USERS = "make, change, disable and enable users"
    MINT_KEYS = "make and rotate keys"
    DISABLE_KEYS = "disable keys"
    CHANGE_KEYS = "change or enable keys; give a key a role"
    SET_LIMITS = "set limits"
    REMOVE_LIMITS = "remove limits, make shadow limits"
    OPERATE = "rest and resume accounts; compare with the bill; cancel jobs; reload; apply a file"


_READ = {Role.ADMIN: Reach.ALL, Role.AUDITOR: Reach.ALL, Role.LEAD: Reach.TEAM, Role.MEMBER: Reach.OWN}
_READ_ALL_ALONE = {Role.ADMIN: Reach.ALL, Role.AUDITOR: Reach.ALL, Role.LEAD: Reach.NONE, Role.MEMBER: Reach.NONE}
_OPEN = dict.fromkeys(Role, Reach.ALL)
_LEADS_TOO = {Role.ADMIN: Reach.ALL, Role.AUDITOR: Reach.NONE, Role.LEAD: Reach.TEAM, Role.MEMBER: Reach.NONE}
_ADMINS = {Role.ADMIN: Reach.ALL, Role.AUDITOR: Reach.NONE, Role.LEAD: Reach.NONE, Role.MEMBER: Reach.NONE}

PERMISSIONS: Mapping[Permission, Mapping[Role, Reach]] = {
    Permission.READ_PEOPLE: _READ,
    Permission.READ_USAGE: _READ,
    Permission.READ_CHANGES: _READ,
    Permission.READ_CATALOG: _OPEN,
    Permission.READ_GATEWAY: _READ_ALL_ALONE,
    Permission.CHANGE_TEAMS: _ADMINS,
    Permission.CHANGE_USERS: _ADMINS,
    Permission.MINT_KEYS: _LEADS_TOO,
    Permission.DISABLE_KEYS: _LEADS_TOO,
    Permission.CHANGE_KEYS: _ADMINS,
    Permission.SET_LIMITS: _LEADS_TOO,
    Permission.REMOVE_LIMITS: _ADMINS,
    Permission.OPERATE: _ADMINS,
}


def permit(principal: Principal | None, action: Permission) -> Reach:
    """How far the action reaches for them; never NONE. Raises NotPermitted. None is a terminal on the server: whoever
    can open the database may do everything.
    """
    reach = Reach.ALL if principal is None else PERMISSIONS[action][principal.role]
    if principal is not None and reach is Reach.NONE:
        raise NotPermitted(f"The role {principal.role} may not: {action}. Ask an admin.")
    if principal is not None and reach is Reach.TEAM and principal.team_id is None:
        return permit(replace(principal, role=Role.MEMBER), action)  # a lead of no team
    return reach


def permit_all(principal: Principal | None, action: Permission) -> None:
    """For what cannot be cut down to a part. Raises NotPermitted unless the action reaches all."""
    if permit(principal, action) is not Reach.ALL:
        raise NotPermitted("Your role reaches a part of this only, and this shows all. Ask an admin or auditor.")


def covers(principal: Principal | None, action: Permission, user_id: str, team_id: str | None) -> bool:
    """Whether the action may touch what belongs to this user of this team. Raises NotPermitted as `permit` does."""
    match permit(principal, action), principal:
        case Reach.TEAM, Principal(team_id=own):
            return own is not None and own == team_id
        case Reach.OWN, Principal(user_id=own):
            return own is not None and own == user_id
    return True
