"""`users`: make, list, show and disable the people who hold keys."""

from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from app.cli.options import Json, Yes, commands
from app.cli.people import existing_team, existing_user
from app.cli.store import change_by, reading, writing
from app.cli.terminal import confirm, say, show_json, show_table
from app.cli.words import iso
from app.keys.records import User, create_user, list_keys, list_users, set_user_disabled, set_user_team
from app.quotas.administration import copy_defaults, list_limits
from app.quotas.limits import Scope, format_limit

app = commands("Make, list, show and disable users.")

Name = Annotated[str, typer.Argument(help="The user's name.")]


@app.command()
def create(
    context: typer.Context,
    name: Name,
    team: Annotated[str | None, typer.Option(help="The team the user is in.")] = None,
    as_json: Json = False,
) -> None:
    """Make a user, with a copy of the default limits."""
    change = change_by(context)
    with writing(context) as connection:
        user = create_user(connection, name, team=existing_team(connection, team) if team else None, change=change)
        copy_defaults(connection, user.id, change)
        fields = _fields(connection, user)
    if as_json:
        show_json(fields)
    else:
        say(f"Made the user {user.name}.")


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List users, their teams and limits."""
    with reading(context) as connection:
        users = [_fields(connection, user) for user in list_users(connection)]
    if as_json:
        show_json(users)
        return
    columns = ["name", "team", "state", "keys", "limits"]
    show_table(columns, [_row(user) for user in users], right=["keys"])


@app.command()
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show one user."""
    with reading(context) as connection:
        fields = _fields(connection, existing_user(connection, name))
    if as_json:
        show_json(fields)
    else:
        show_table(["name", "team", "state", "keys", "limits"], [_row(fields)], right=["keys"])


@app.command()
def disable(context: typer.Context, name: Name, yes: Yes = False) -> None:
    """Stop all keys of a user from working; `enable` undoes it."""
    confirm(f"Disable the user {name}? All their keys stop working.", yes=yes)
    _set_disabled(context, name, disabled=True)
    say(f"The user {name} is disabled.")


@app.command()
def enable(context: typer.Context, name: Name) -> None:
    """Let a disabled user's keys work again."""
    _set_disabled(context, name, disabled=False)
    say(f"The user {name} is enabled.")


@app.command("set-team")
def set_team(
    context: typer.Context,
    name: Name,
    team: Annotated[str | None, typer.Argument(help="The team; none takes the user out of theirs.")] = None,
) -> None:
    """Put a user into a team, or out of it."""
    with writing(context) as connection:
        found = existing_team(connection, team) if team else None
        set_user_team(connection, existing_user(connection, name), found, change=change_by(context))
    say(f"The user {name} is in {f'the team {team}' if team else 'no team'}.")


def _set_disabled(context: typer.Context, name: str, *, disabled: bool) -> None:
    with writing(context) as connection:
        set_user_disabled(connection, existing_user(connection, name), disabled, change=change_by(context))


def _fields(connection: Connection, user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "team": user.team_name,
        "keys": [key.id for key in list_keys(connection, user.id)],
        "limits": [format_limit(limit) for limit in list_limits(connection, Scope.USER, user.id)],
        "created_at": iso(user.created_at),
        "disabled_at": iso(user.disabled_at),
    }


def _row(fields: dict[str, Any]) -> list[str]:
    state = "disabled" if fields["disabled_at"] else "works"
    return [fields["name"], fields["team"] or "", state, str(len(fields["keys"])), ", ".join(fields["limits"])]
