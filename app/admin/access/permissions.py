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

    NONE = "–"
    OWN = "own"
    TEAM = "own team"
    ALL = "all"


class Action(StrEnum):
    """What can be done; the value is the text of docs/roles.md."""

    READ_PEOPLE = "see teams, users, keys and limits; explain a request"
    READ_USAGE = "see usage, requests, reservations, refusals and files"
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
    OPERATE = "rest and resume accounts; reload; apply a file"


_READ = {Role.ADMIN: Reach.ALL, Role.AUDITOR: Reach.ALL, Role.LEAD: Reach.TEAM, Role.MEMBER: Reach.OWN}
_READ_ALL_ALONE = {Role.ADMIN: Reach.ALL, Role.AUDITOR: Reach.ALL, Role.LEAD: Reach.NONE, Role.MEMBER: Reach.NONE}
_OPEN = dict.fromkeys(Role, Reach.ALL)
_LEADS_TOO = {Role.ADMIN: Reach.ALL, Role.AUDITOR: Reach.NONE, Role.LEAD: Reach.TEAM, Role.MEMBER: Reach.NONE}
_ADMINS = {Role.ADMIN: Reach.ALL, Role.AUDITOR: Reach.NONE, Role.LEAD: Reach.NONE, Role.MEMBER: Reach.NONE}

PERMISSIONS: Mapping[Action, Mapping[Role, Reach]] = {
    Action.READ_PEOPLE: _READ,
    Action.READ_USAGE: _READ,
    Action.READ_CHANGES: _READ,
    Action.READ_CATALOG: _OPEN,
    Action.READ_GATEWAY: _READ_ALL_ALONE,
    Action.CHANGE_TEAMS: _ADMINS,
    Action.CHANGE_USERS: _ADMINS,
    Action.MINT_KEYS: _LEADS_TOO,
    Action.DISABLE_KEYS: _LEADS_TOO,
    Action.CHANGE_KEYS: _ADMINS,
    Action.SET_LIMITS: _LEADS_TOO,
    Action.REMOVE_LIMITS: _ADMINS,
    Action.OPERATE: _ADMINS,
}


def permit(principal: Principal | None, action: Action) -> Reach:
    """How far the action reaches for them; never NONE. Raises NotPermitted. None is a terminal on the server: whoever
    can open the database may do everything.
    """
    reach = Reach.ALL if principal is None else PERMISSIONS[action][principal.role]
    if principal is not None and reach is Reach.NONE:
        raise NotPermitted(f"The role {principal.role} may not: {action}. Ask an admin.")
    if principal is not None and reach is Reach.TEAM and principal.team_id is None:
        return permit(replace(principal, role=Role.MEMBER), action)  # a lead of no team
    return reach


def covers(principal: Principal | None, action: Action, user_id: str, team_id: str | None) -> bool:
    """Whether the action may touch what belongs to this user of this team. Raises NotPermitted as `permit` does."""
    match permit(principal, action), principal:
        case Reach.TEAM, Principal(team_id=own):
            return own is not None and own == team_id
        case Reach.OWN, Principal(user_id=own):
            return own is not None and own == user_id
    return True


def permissions_table() -> str:
    """The table as Markdown."""
    lines = ["| | " + " | ".join(Role) + " |", "|---|" + "---|" * len(Role)]
    for action, reaches in PERMISSIONS.items():
        lines.append(f"| {action} | " + " | ".join(reaches[role] for role in Role) + " |")
    return "\n".join(lines)
