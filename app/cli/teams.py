"""`teams`: make and list teams, put users into them and take them out."""

from typing import Annotated, Any

import typer

from app.cli.options import Json, Yes, commands
from app.cli.people import existing_team, existing_user, limits_by_owner, limits_of
from app.cli.store import change_by, reading, writing
from app.cli.terminal import PROGRAM, confirm, say, show_json, show_table
from app.cli.words import iso
from app.errors import Conflict
from app.keys.records import Team, create_team, list_teams, list_users, set_user_team
from app.quotas.limits import Scope

app = commands("Make and list teams, put users into them and take them out.")

Name = Annotated[str, typer.Argument(metavar="TEAM", help="The team's name.")]
Users = Annotated[list[str], typer.Argument(metavar="USER...", help="One or more users.")]


@app.command()
def create(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Make a team.

    \b
    zenmux-gateway teams create design
    """
    with writing(context) as connection:
        team = create_team(connection, name, change=change_by(context))
    if as_json:
        show_json(_fields(team, [], []))
    else:
        say(f"Made the team {team.name}. Put people into it: {PROGRAM} teams add {team.name} USER...")


@app.command("list")
def list_all(context: typer.Context, as_json: Json = False) -> None:
    """List teams, their users and limits.

    \b
    zenmux-gateway teams list
    """
    with reading(context) as connection:
        teams, users = list_teams(connection), list_users(connection)
        limits = limits_by_owner(connection, Scope.TEAM)
    fields = [
        _fields(team, [user.name for user in users if user.team_id == team.id], limits.get(team.id, []))
        for team in teams
    ]
    if as_json:
        show_json(fields)
    elif not teams:
        say(f"No teams yet. Make one: {PROGRAM} teams create NAME")
    else:
        rows = [[team["name"], ", ".join(team["users"]), ", ".join(team["limits"])] for team in fields]
        show_table(["name", "users", "limits"], rows)


@app.command()
def add(context: typer.Context, name: Name, users: Users, as_json: Json = False) -> None:
    """Put users into a team; out of another one, if they were in one.

    \b
    zenmux-gateway teams add design alice bob
    """
    change = change_by(context)
    with writing(context) as connection:
        team = existing_team(connection, name)
        for user in users:
            set_user_team(connection, existing_user(connection, user), team, change=change)
        members = [user.name for user in list_users(connection) if user.team_id == team.id]
        limits = limits_of(connection, Scope.TEAM, team.id)
    if as_json:
        show_json(_fields(team, members, limits))
    else:
        say(f"The team {team.name} is now: {', '.join(members)}.")


@app.command()
def remove(context: typer.Context, name: Name, users: Users, yes: Yes = False) -> None:
    """Take users out of a team. The team's limits hold for them no more; what they used stays with the team.

    \b
    zenmux-gateway teams remove design alice
    """
    confirm(f"Take {', '.join(users)} out of the team {name}? Its limits hold for them no more.", yes=yes)
    change = change_by(context)
    with writing(context) as connection:
        team = existing_team(connection, name)
        for written in users:
            user = existing_user(connection, written)
            if user.team_id != team.id:
                raise Conflict(f"The user {user.name} is not in the team {team.name}; nothing was changed.")
            set_user_team(connection, user, None, change=change)
    say(f"Taken out of the team {team.name}: {', '.join(users)}.")


def _fields(team: Team, users: list[str], limits: list[str]) -> dict[str, Any]:
    return {"id": team.id, "name": team.name, "users": users, "limits": limits, "created_at": iso(team.created_at)}
