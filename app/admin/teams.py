"""Use cases of teams: make, list, put users into them and take users out."""

from collections.abc import Sequence

from sqlalchemy import Connection

from app.admin.access.permissions import Permission, permit
from app.admin.access.reaching import sees_team, team_for, user_for
from app.admin.limits import limits_by_owner, limits_of
from app.admin.operator import Operator
from app.admin.users import move_user
from app.admin.views import TeamView
from app.errors import Conflict
from app.identity.people import teams as team_records
from app.identity.people import users as user_records
from app.identity.people.teams import Team
from app.quotas.rules.limits import Scope


def create_team(operator: Operator, name: str) -> TeamView:
    """Makes a team. Raises InvalidValue for an impossible name, Conflict for one that is taken."""
    permit(operator.principal, Permission.CHANGE_TEAMS)
    change = operator.change()
    with operator.writing() as connection:
        return TeamView(team_records.create_team(connection, name, change=change), (), ())


def put_team(operator: Operator, name: str) -> tuple[TeamView, bool]:
    """The team of this name, made if there is none; whether it was made. Raises InvalidValue, ChangedMeanwhile."""
    permit(operator.principal, Permission.CHANGE_TEAMS)
    change = operator.change()
    with operator.writing() as connection:
        found = team_records.find_team(connection, name)
        present = None if found is None else _view(connection, found)
        operator.expected.check(present.as_json() if present else None)
        if present is not None:
            return present, False
        return _view(connection, team_records.create_team(connection, name, change=change)), True


def list_teams(operator: Operator) -> list[TeamView]:
    """Every team that the role reaches, by name."""
    permit(operator.principal, Permission.READ_PEOPLE)
    with operator.reading() as connection:
        limits, users = limits_by_owner(connection, Scope.TEAM), dict[str, list[str]]()
        for user in user_records.list_users(connection):
            if user.team_id is not None:
                users.setdefault(user.team_id, []).append(user.name)
        return [
            TeamView(team, tuple(users.get(team.id, ())), limits.get(team.id, ()))
            for team in team_records.list_teams(connection)
            if sees_team(operator, team.id)
        ]


def show_team(operator: Operator, name: str) -> TeamView:
    """The team with this name or id. Raises NotFound."""
    with operator.reading() as connection:
        return _view(connection, team_for(operator, connection, name))


def add_to_team(operator: Operator, name: str, users: Sequence[str]) -> TeamView:
    """Moves users into the team, out of their present one: all of them, or none.

    Raises NotFound, and Conflict if a file sets the team of one.
    """
    change = operator.change()
    with operator.writing() as connection:
        team = team_for(operator, connection, name, Permission.CHANGE_USERS)
        for user in users:
            move_user(connection, user_for(operator, connection, user, Permission.CHANGE_USERS), team, change)
        return _view(connection, team)


def remove_from_team(operator: Operator, name: str, users: Sequence[str]) -> TeamView:
    """Takes users out of the team: all of them, or none.

    Raises NotFound, and Conflict for a user who is not in the team.
    """
    change = operator.change()
    with operator.writing() as connection:
        team = team_for(operator, connection, name, Permission.CHANGE_USERS)
        for written in users:
            user = user_for(operator, connection, written, Permission.CHANGE_USERS)
            if user.team_id != team.id:
                raise Conflict(f"The user {user.name} is not in the team {team.name}; nothing was changed.")
            move_user(connection, user, None, change)
        return _view(connection, team)


def _view(connection: Connection, team: Team) -> TeamView:
    users = tuple(user.name for user in user_records.list_users(connection) if user.team_id == team.id)
    return TeamView(team, users, limits_of(connection, Scope.TEAM, team.id))
