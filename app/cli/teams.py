"""`teams`: make and list teams, put users into them."""

from typing import Annotated, Any

import typer

from app.cli.options import Json, commands
from app.cli.people import existing_team, existing_user
from app.cli.store import change_by, reading, writing
from app.cli.terminal import say, show_json, show_table
from app.cli.words import iso
from app.keys.records import create_team, list_teams, list_users, set_user_team
from app.quotas.administration import list_limits
from app.quotas.limits import Scope, format_limit

app = commands("Make and list teams, put users into them.")

Name = Annotated[str, typer.Argument(help="The team's name.")]


@app.command()
def create(context: typer.Context, name: Name) -> None:
    """Make a team."""
    with writing(context) as connection:
        team = create_team(connection, name, change=change_by(context))
    say(f"Made the team {team.name}.")


@app.command()
def add(
    context: typer.Context, name: Name, user: Annotated[str, typer.Argument(help="The user to put into it.")]
) -> None:
    """Put a user into a team; out of another one, if they were in one."""
    with writing(context) as connection:
        team = existing_team(connection, name)
        set_user_team(connection, existing_user(connection, user), team, change=change_by(context))
    say(f"The user {user} is in the team {name}.")


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List teams, their users and limits."""
    with reading(context) as connection:
        users = list_users(connection)
        teams: list[dict[str, Any]] = [
            {
                "id": team.id,
                "name": team.name,
                "users": [user.name for user in users if user.team_id == team.id],
                "limits": [format_limit(limit) for limit in list_limits(connection, Scope.TEAM, team.id)],
                "created_at": iso(team.created_at),
            }
            for team in list_teams(connection)
        ]
    if as_json:
        show_json(teams)
        return
    rows = [[team["name"], ", ".join(team["users"]), ", ".join(team["limits"])] for team in teams]
    show_table(["name", "users", "limits"], rows)
