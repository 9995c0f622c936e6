"""`teams`: make and list teams, put users into them and take them out."""

from typing import Annotated

import typer

from app.admin.teams import add_to_team, create_team, list_teams, remove_from_team
from app.cli.terminal.options import Json, Yes, commands
from app.cli.terminal.output import PROGRAM, confirm, say, show_json, show_table
from app.cli.terminal.session import Session

app = commands("Make and list teams, put users into them and take them out.")

Name = Annotated[str, typer.Argument(metavar="TEAM", help="The team's name.")]
Users = Annotated[list[str], typer.Argument(metavar="USER...", help="One or more users.")]


@app.command()
def create(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Make a team.

    \b
    zenmux-gateway teams create design
    """
    with Session(context).made() as operator:
        made = create_team(operator, name)
    team = made.team
    if as_json:
        show_json(made.as_json())
    else:
        say(f"Made the team {team.name}. Put people into it: {PROGRAM} teams add {team.name} USER...")


@app.command("list")
def list_all(context: typer.Context, as_json: Json = False) -> None:
    """List teams, their users and limits.

    \b
    zenmux-gateway teams list
    """
    with Session(context).existing() as operator:
        teams = list_teams(operator)
    if as_json:
        show_json([team.as_json() for team in teams])
    elif not teams:
        say(f"No teams yet. Make one: {PROGRAM} teams create NAME")
    else:
        rows = [[each.team.name, ", ".join(each.users), ", ".join(each.limits)] for each in teams]
        show_table(["name", "users", "limits"], rows)


@app.command()
def add(context: typer.Context, name: Name, users: Users, as_json: Json = False) -> None:
    """Put users into a team; out of another one, if they were in one.

    \b
    zenmux-gateway teams add design alice bob
    """
    with Session(context).made() as operator:
        team = add_to_team(operator, name, users)
    if as_json:
        show_json(team.as_json())
    else:
        say(f"The team {team.team.name} is now: {', '.join(team.users)}.")


@app.command()
def remove(context: typer.Context, name: Name, users: Users, yes: Yes = False) -> None:
    """Take users out of a team. The team's limits hold for them no more; what they used stays with the team.

    \b
    zenmux-gateway teams remove design alice
    """
    confirm(f"Take {', '.join(users)} out of the team {name}? Its limits hold for them no more.", yes=yes)
    with Session(context).made() as operator:
        team = remove_from_team(operator, name, users).team
    say(f"Taken out of the team {team.name}: {', '.join(users)}.")
