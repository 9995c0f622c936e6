"""`users`: make, list, show, move, disable and enable the people and programs that hold keys."""

from typing import Annotated

import typer

from app.admin.access.provider_sign_in import link_identity, unlink_identities
from app.admin.users import create_user, disable_user, enable_user, list_users, set_user_team, show_user
from app.admin.views import UserView
from app.cli.terminal.options import Json, Yes, commands
from app.cli.terminal.output import PROGRAM, confirm, read_as_written, say, show_json, show_lines, show_table
from app.cli.terminal.parsing import day_and_time
from app.cli.terminal.session import Session

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
    session = Session(context)
    models = session.models
    limits = read_as_written(lambda: models.limits_of(limit or ()))
    with session.made() as operator:
        made = create_user(operator, name, team=team, limits=limits)
    if as_json:
        show_json(made.as_json())
        return
    limited = f", limited to {', '.join(made.limits)}" if made.limits else ""
    say(f"Made the user {made.user.name}{limited}. A key for them: {PROGRAM} keys create --user {made.user.name}")


@app.command("list")
def list_all(context: typer.Context, as_json: Json = False) -> None:
    """List users, their teams, keys and limits.

    \b
    zenmux-gateway users list
    """
    with Session(context).existing() as operator:
        users = list_users(operator)
    if as_json:
        show_json([user.as_json() for user in users])
    elif not users:
        say(f"No users yet. `{PROGRAM} keys create --user NAME` makes one, with a key.")
    else:
        show_table(["name", "team", "state", "keys", "limits"], [_row(user) for user in users], right=["keys"])


@app.command()
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show one user: team, keys, limits.

    \b
    zenmux-gateway users show alice
    """
    with Session(context).existing() as operator:
        shown = show_user(operator, name)
    if as_json:
        show_json(shown.as_json())
        return
    user = shown.user
    show_lines(
        {
            "user": user.name,
            "id": user.id,
            "team": user.team_name or "none",
            "state": shown.state,
            "made": f"{day_and_time(user.created_at)} UTC",
            "keys": ", ".join(shown.keys) or "none",
            "limits": ", ".join(shown.limits) or "none of their own",
        }
    )
    say(f"What is used and left: {PROGRAM} limits explain --user {user.name}")


@app.command()
def disable(context: typer.Context, name: Name, yes: Yes = False) -> None:
    """Stop all keys of a user from working; `enable` undoes it.

    \b
    zenmux-gateway users disable alice
    """
    with (session := Session(context)).existing() as operator:
        user = show_user(operator, name).user
        confirm(f"Disable the user {user.name}? All their keys stop working.", yes=yes)
        disable_user(operator, user.id)
    seconds = session.settings.key_cache_seconds
    say(f"The user {user.name} is disabled; a running gateway notices within {seconds:g} seconds.")


@app.command()
def enable(context: typer.Context, name: Name) -> None:
    """Let a disabled user's keys work again.

    \b
    zenmux-gateway users enable alice
    """
    with Session(context).made() as operator:
        user = enable_user(operator, name).user
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
    with Session(context).made() as operator:
        user = set_user_team(operator, name, team).user
    say(f"The user {user.name} is in {f'the team {user.team_name}' if user.team_name else 'no team'}.")


@app.command()
def link(
    context: typer.Context,
    name: Name,
    issuer: Annotated[str, typer.Option(metavar="URL", help="The identity provider, as gateway.yaml names it.")],
    subject: Annotated[str, typer.Option(metavar="TEXT", help="Who they are there: the claim `sub`.")],
) -> None:
    """Let a person of an identity provider sign in as this user, whose team and role stay as they are set here.

    \b
    zenmux-gateway users link alice --issuer https://id.example.com/realms/team --subject 6f1c0c5e
    """
    with Session(context).made() as operator:
        link_identity(operator, name, issuer, subject)
    say(f"That person signs in as {name} from now on.")


@app.command()
def unlink(context: typer.Context, name: Name) -> None:
    """Let nobody of any identity provider sign in as this user any more. Open sessions stay: disable the user, too.

    \b
    zenmux-gateway users unlink alice
    """
    with Session(context).made() as operator:
        count = unlink_identities(operator, name)
    say(f"{count} {'person' if count == 1 else 'persons'} of identity providers signed in as {name}; nobody does now.")


def _row(shown: UserView) -> list[str]:
    return [shown.user.name, shown.user.team_name or "", shown.state, str(len(shown.keys)), ", ".join(shown.limits)]
