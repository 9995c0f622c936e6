"""Use cases of teams: make, list, put users into them and take users out."""

from collections.abc import Sequence

from sqlalchemy import Connection

from app.admin.limits import limits_by_owner, limits_of
from app.admin.lookup.owners import existing_team, existing_user
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
    change = operator.change()
    with operator.writing() as connection:
        return TeamView(team_records.create_team(connection, name, change=change), (), ())


def list_teams(operator: Operator) -> list[TeamView]:
    """Every team, by name."""
    with operator.reading() as connection:
        users, limits = user_records.list_users(connection), limits_by_owner(connection, Scope.TEAM)
        return [
            TeamView(team, tuple(user.name for user in users if user.team_id == team.id), limits.get(team.id, ()))
            for team in team_records.list_teams(connection)
        ]


def add_to_team(operator: Operator, name: str, users: Sequence[str]) -> TeamView:
    """Moves users into the team, out of their present one: all of them, or none.

    Raises NotFound, and Conflict if a file sets the team of one.
    """
    change = operator.change()
    with operator.writing() as connection:
        team = existing_team(connection, name)
        for user in users:
            move_user(connection, existing_user(connection, user), team, change)
        return _view(connection, team)


def remove_from_team(operator: Operator, name: str, users: Sequence[str]) -> TeamView:
    """Takes users out of the team: all of them, or none.

    Raises NotFound, and Conflict for a user who is not in the team.
    """
    change = operator.change()
    with operator.writing() as connection:
        team = existing_team(connection, name)
        for written in users:
            user = existing_user(connection, written)
            if user.team_id != team.id:
                raise Conflict(f"The user {user.name} is not in the team {team.name}; nothing was changed.")
            move_user(connection, user, None, change)
        return _view(connection, team)


def _view(connection: Connection, team: Team) -> TeamView:
    users = tuple(user.name for user in user_records.list_users(connection) if user.team_id == team.id)
    return TeamView(team, users, limits_of(connection, Scope.TEAM, team.id))
