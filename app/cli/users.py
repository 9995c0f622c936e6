"""`users`: make, list, show, move, disable and enable the people and programs that hold keys."""

from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from app.cli.options import Json, Yes, commands
from app.cli.people import existing_team, existing_user, limits_by_owner, limits_of, make_user, read_limits
from app.cli.store import catalog_of, change_by, reading, settings_of, writing
from app.cli.terminal import PROGRAM, confirm, say, show_json, show_lines, show_table
from app.cli.words import day_and_time, iso
from app.keys.records import User, list_keys, list_users, set_user_disabled, set_user_team
from app.quotas.administration import set_limit
from app.quotas.limits import Scope

app = commands("Make, list, show, disable and enable users.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]


@app.command()
def create(
    context: typer.Context,
    name: Name,
    team: Annotated[str | None, typer.Option(metavar="NAME", help="The team the user is in.")] = None,
    limit: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Such as usd:20/month, over all their keys; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a user, with a copy of the default limits (`limits set --default`).

    \b
    zenmux-gateway users create alice --team design --limit usd:20/month
    """
    settings, change = settings_of(context), change_by(context)
    limits = read_limits(limit, catalog_of(settings), settings)
    with writing(context) as connection:
        found = existing_team(connection, team) if team is not None else None
        user = make_user(connection, name, found, change)
        for written in limits:
            set_limit(connection, written.on(Scope.USER, user.id), change=change)
        fields = _fields(user, [], limits_of(connection, Scope.USER, user.id))
    if as_json:
        show_json(fields)
        return
    limited = f", limited to {', '.join(fields['limits'])}" if fields["limits"] else ""
    say(f"Made the user {user.name}{limited}. A key for them: {PROGRAM} keys create --user {user.name}")


@app.command("list")
def list_all(context: typer.Context, as_json: Json = False) -> None:
    """List users, their teams, keys and limits.

    \b
    zenmux-gateway users list
    """
    with reading(context) as connection:
        users = list_users(connection)
        limits, keys = limits_by_owner(connection, Scope.USER), _keys_by_user(connection)
    fields = [_fields(user, keys.get(user.id, []), limits.get(user.id, [])) for user in users]
    if as_json:
        show_json(fields)
    elif not users:
        say(f"No users yet. `{PROGRAM} keys create --user NAME` makes one, with a key.")
    else:
        show_table(["name", "team", "state", "keys", "limits"], [_row(user) for user in fields], right=["keys"])


@app.command()
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show one user: team, keys, limits.

    \b
    zenmux-gateway users show alice
    """
    with reading(context) as connection:
        user = existing_user(connection, name)
        keys = [key.id for key in list_keys(connection, user.id)]
        fields = _fields(user, keys, limits_of(connection, Scope.USER, user.id))
    if as_json:
        show_json(fields)
        return
    show_lines(
        {
            "user": user.name,
            "id": user.id,
            "team": user.team_name or "none",
            "state": fields["state"],
            "made": f"{day_and_time(user.created_at)} UTC",
            "keys": ", ".join(keys) or "none",
            "limits": ", ".join(fields["limits"]) or "none of their own",
        }
    )
    say(f"What is used and left: {PROGRAM} limits explain --user {user.name}")


@app.command()
def disable(context: typer.Context, name: Name, yes: Yes = False) -> None:
    """Stop all keys of a user from working; `enable` undoes it.

    \b
    zenmux-gateway users disable alice
    """
    with reading(context) as connection:
        user = existing_user(connection, name)
    confirm(f"Disable the user {user.name}? All their keys stop working.", yes=yes)
    with writing(context) as connection:
        set_user_disabled(connection, user, True, change=change_by(context))
    seconds = settings_of(context).key_cache_seconds
    say(f"The user {user.name} is disabled; a running gateway notices within {seconds:g} seconds.")


@app.command()
def enable(context: typer.Context, name: Name) -> None:
    """Let a disabled user's keys work again.

    \b
    zenmux-gateway users enable alice
    """
    with writing(context) as connection:
        user = set_user_disabled(connection, existing_user(connection, name), False, change=change_by(context))
    say(f"The user {user.name} is enabled.")


@app.command("set-team")
def set_team(
    context: typer.Context,
    name: Name,
    team: Annotated[str | None, typer.Argument(metavar="[TEAM]", help="Without it: out of every team.")] = None,
) -> None:
    """Put a user into a team, or out of it. What they used before stays with the old team.

    \b
    zenmux-gateway users set-team alice design
    zenmux-gateway users set-team alice
    """
    with writing(context) as connection:
        found = existing_team(connection, team) if team is not None else None
        user = set_user_team(connection, existing_user(connection, name), found, change=change_by(context))
    say(f"The user {user.name} is in {f'the team {found.name}' if found else 'no team'}.")


def _keys_by_user(connection: Connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key in list_keys(connection):
        found.setdefault(key.user_id, []).append(key.id)
    return found


def _fields(user: User, keys: list[str], limits: list[str]) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "team": user.team_name,
        "team_id": user.team_id,
        "state": "active" if user.disabled_at is None else "disabled",
        "keys": keys,
        "limits": limits,
        "created_at": iso(user.created_at),
        "disabled_at": iso(user.disabled_at),
    }


def _row(fields: dict[str, Any]) -> list[str]:
    return [
        fields["name"],
        fields["team"] or "",
        fields["state"],
        str(len(fields["keys"])),
        ", ".join(fields["limits"]),
    ]
