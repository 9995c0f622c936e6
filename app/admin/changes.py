"""The use case of the list of changes: who changed what, when, and what it was before."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from app.admin.access.permissions import Permission, Reach, covers, permit
from app.admin.access.reaching import sees_team
from app.admin.operator import Operator
from app.admin.views import iso
from app.database import changes
from app.database.changes import RecordedChange, Wanted
from app.identity.keys.keys import list_keys
from app.identity.people.teams import find_team, list_teams
from app.identity.people.users import find_user, list_users
from app.quotas.rules.limits import Scope


@contextmanager
def list_changes(operator: Operator, wanted: Wanted, limit: int) -> Iterator[Iterator[RecordedChange]]:
    """The newest `limit` changes, newest first, read from the database as they are taken: take them inside the block.

    The target is a user's or team's name, or an id: people know the name, the list has the id.
    """
    permit(operator.principal, Permission.READ_CHANGES)
    with operator.reading() as connection:
        wanted = replace(wanted, targets=_reached(operator, connection))
        target = None if wanted.target is None else _id_of(connection, wanted.target)
        yield changes.list_changes(connection, limit, replace(wanted, target=target))


def change_json(change: RecordedChange) -> dict[str, Any]:
    """A change for programs."""
    return {
        "id": change.id,
        "at": iso(change.at),
        "actor": change.actor,
        "action": change.action,
        "target": change.target,
        "before": change.before,
        "after": change.after,
    }


def trial_change_json(change: RecordedChange) -> dict[str, Any]:
    """A change that was tried: its number and time are given when it is really made."""
    return change_json(change) | {"id": None, "at": None}


def _reached(operator: Operator, connection: Connection) -> frozenset[str] | None:
    """The targets of changes that the role sees: its users, their keys, the team of a lead, and limits on them. None:
    all.
    """
    if permit(operator.principal, Permission.READ_CHANGES) is Reach.ALL:
        return None
    users = {
        user.id
        for user in list_users(connection)
        if covers(operator.principal, Permission.READ_CHANGES, user.id, user.team_id)
    }
    keys = {key.id for key in list_keys(connection) if key.user_id in users}
    teams = {team.id for team in list_teams(connection) if sees_team(operator, team.id)}
    scopes = {Scope.USER: users, Scope.KEY: keys, Scope.TEAM: teams}
    return frozenset(users | keys | teams | {f"{scope} {id_}" for scope, ids in scopes.items() for id_ in ids})


def _id_of(connection: Connection, name: str) -> str:
    owner = find_user(connection, name) or find_team(connection, name)
    return owner.id if owner is not None else name.strip()
