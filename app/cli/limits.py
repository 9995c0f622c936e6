"""`limits`: set, list, remove and explain limits on keys, users, teams and the whole gateway."""

from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from app.cli.options import Json, Yes, commands
from app.cli.people import existing_team, existing_user, limit_of
from app.cli.store import catalog_of, change_by, reading, settings_of, writing
from app.cli.terminal import Terminal, WrongUse, confirm, say, show_json, show_table
from app.cli.words import day_and_time, iso
from app.errors import CommandError
from app.keys.records import find_key, list_teams, list_users
from app.quotas.administration import list_limits, remove_limit, set_limit
from app.quotas.limits import Limit, Scope, Unit, describe_amount, format_limit, format_usd
from app.quotas.standing import LimitStatus, standing_of

app = commands("Set, list, remove and explain limits.")

Written = Annotated[str, typer.Argument(help="unit:amount/window[@model], such as images:20/day, or concurrent:3.")]
Key = Annotated[str | None, typer.Option(help="On this key, by its id.")]
User = Annotated[str | None, typer.Option(help="On this user: all their keys together.")]
Team = Annotated[str | None, typer.Option(help="On this team: all its users together.")]
Gateway = Annotated[bool, typer.Option("--gateway", help="On everything together.")]
Default = Annotated[bool, typer.Option("--default", help="Copied to every user made from now on.")]


@app.command("set")
def set_(
    context: typer.Context,
    limit: Written,
    key: Key = None,
    user: User = None,
    team: Team = None,
    gateway: Gateway = False,
    default: Default = False,
    shadow: Annotated[bool, typer.Option("--shadow", help="Count what it would refuse, refuse nothing.")] = False,
) -> None:
    """Set a limit, or change its amount. What was used before counts.

    \b
    zenmux-gateway limits set images:20/day --user alice
    zenmux-gateway limits set usd:500/month --gateway
    """
    written = limit_of(limit, catalog_of(settings_of(context)))
    with writing(context) as connection:
        scope, scope_id = _whose(connection, key, user, team, gateway=gateway, default=default)
        set_limit(connection, written.on(scope, scope_id, shadow=shadow), change=change_by(context))
    say(f"The limit {format_limit(written)} is set.")


@app.command()
def remove(
    context: typer.Context,
    limit: Written,
    key: Key = None,
    user: User = None,
    team: Team = None,
    gateway: Gateway = False,
    default: Default = False,
    yes: Yes = False,
) -> None:
    """Remove a limit; its amount does not matter."""
    written = limit_of(limit, catalog_of(settings_of(context)))
    confirm(f"Remove the limit {format_limit(written)}?", yes=yes)
    with writing(context) as connection:
        scope, scope_id = _whose(connection, key, user, team, gateway=gateway, default=default)
        remove_limit(connection, written.on(scope, scope_id), change=change_by(context))
    say(f"The limit {format_limit(written)} is removed.")


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List all limits."""
    with reading(context) as connection:
        names = {user.id: user.name for user in list_users(connection)}
        names |= {team.id: team.name for team in list_teams(connection)}
        limits = [_fields(limit, names) for limit in list_limits(connection)]
    if as_json:
        show_json(limits)
        return
    rows = [[each["scope"], each["name"], each["limit"], "shadow" if each["shadow"] else ""] for each in limits]
    show_table(["scope", "name", "limit", ""], rows)


@app.command()
def explain(
    context: typer.Context, key: Annotated[str, typer.Option(help="The key's id.")], as_json: Json = False
) -> None:
    """Show every limit that applies to a key, what is used and left of each, and when it resets."""
    with reading(context) as connection:
        found = find_key(connection, key)
        if found is None:
            raise CommandError(f"There is no key {key!r}; `keys list` shows those that are.")
        owner = existing_user(connection, found.user_id)
        statuses = standing_of(connection, key, owner.id, owner.team_id, Terminal.of(context).clock())
    if as_json:
        show_json([_status_fields(status) for status in statuses])
        return
    columns = ["limit", "of", "used", "of it pending", "left", "resets (UTC)"]
    show_table(columns, [_status_row(status) for status in statuses], right=columns[2:5])


def _whose(
    connection: Connection, key: str | None, user: str | None, team: str | None, *, gateway: bool, default: bool
) -> tuple[Scope, str]:
    if sum((key is not None, user is not None, team is not None, gateway, default)) != 1:
        raise WrongUse("Say whose limit it is with exactly one of --key, --user, --team, --gateway, --default.")
    if key is not None:
        if find_key(connection, key) is None:
            raise CommandError(f"There is no key {key!r}; `keys list` shows those that are.")
        return Scope.KEY, key
    if user is not None:
        return Scope.USER, existing_user(connection, user).id
    if team is not None:
        return Scope.TEAM, existing_team(connection, team).id
    return (Scope.GATEWAY if gateway else Scope.DEFAULT), ""


def _fields(limit: Limit, names: dict[str, str]) -> dict[str, Any]:
    return {
        "scope": limit.scope.value,
        "id": limit.scope_id or None,
        "name": names.get(limit.scope_id, limit.scope_id),
        "limit": format_limit(limit),
        "shadow": limit.shadow,
    }


def _status_fields(status: LimitStatus) -> dict[str, Any]:
    limit = status.limit

    def amount(value: int) -> int | str:
        return format_usd(value) if limit.unit is Unit.USD else value

    return {
        "limit": status.written,
        "scope": limit.scope.value,
        "shadow": limit.shadow,
        "used": amount(status.used),
        "pending": amount(status.pending),
        "left": amount(status.left),
        "resets_at": iso(status.resets_at),
    }


def _status_row(status: LimitStatus) -> list[str]:
    unit = status.limit.unit
    amounts = [describe_amount(unit, value) for value in (status.used, status.pending, status.left)]
    shadow = " (shadow)" if status.shadow else ""
    return [status.written + shadow, status.scope.value, *amounts, day_and_time(status.resets_at) or "never"]
