"""`limits`: set, list, remove and explain limits on keys, users, teams and the whole gateway."""

import re
from contextlib import suppress
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from app.cli.options import Json, Yes, commands
from app.cli.people import amount_fields, existing_key, existing_team, existing_user, read_limits, written
from app.cli.store import catalog_of, change_by, reading, settings_of, writing
from app.cli.terminal import PROGRAM, Terminal, WrongUse, confirm, say, show_json, show_table
from app.cli.words import day_and_time, iso
from app.errors import AdministrationError
from app.keys.records import list_keys, list_teams, list_users
from app.quotas.administration import list_limits, remove_limit, set_limit
from app.quotas.limits import Limit, Scope, Unit, Window, WrittenLimit, describe_amount, format_limit
from app.quotas.past import Past, add_up_past, make_counter
from app.quotas.standing import LimitStatus, standing_of

app = commands("Set, list, remove and explain limits.")

Written = Annotated[
    list[str],
    typer.Argument(
        metavar="LIMIT...",
        help="unit:amount/window, such as images:20/day or usd:5/month@gpt-image-2; or concurrent:3.",
    ),
]
Key = Annotated[str | None, typer.Option(metavar="ID", help="The key with this id.")]
User = Annotated[str | None, typer.Option(metavar="NAME", help="This user: all their keys together.")]
Team = Annotated[str | None, typer.Option(metavar="NAME", help="This team: all its users together.")]
Gateway = Annotated[bool, typer.Option("--gateway", help="Everybody together.")]
Default = Annotated[bool, typer.Option("--default", help="Every user made from now on gets a copy.")]


@app.command("set")
def set_(
    context: typer.Context,
    limit: Written,
    key: Key = None,
    user: User = None,
    team: Team = None,
    gateway: Gateway = False,
    default: Default = False,
    shadow: Annotated[bool, typer.Option("--shadow", help="Only count and tell what it would refuse.")] = False,
) -> None:
    """Set limits, or change the amounts of those that are. What was used in the window before counts.

    \b
    units    requests, images, tokens, usd; and concurrent, which has no window
    windows  minute, hour, day, week, month, total (UTC)
    zenmux-gateway limits set --user alice images:20/day usd:5/month
    zenmux-gateway limits set --team design usd:300/month
    zenmux-gateway limits set --gateway usd:50/day@gpt-image-2
    zenmux-gateway limits set --default images:100/day concurrent:4
    zenmux-gateway limits set --user alice images:10/day --shadow
    """
    settings, change = settings_of(context), change_by(context)
    limits = read_limits(limit, catalog_of(settings), settings)
    chosen = _Target(key, user, team, gateway=gateway, default=default).required()
    pasts = _pasts(context, chosen, limits)
    with writing(context) as connection:
        scope, scope_id, name = chosen.find(connection)
        before = [each for each in list_limits(connection, scope, scope_id) if not each.shadow]
        for each in limits:
            set_limit(connection, each.on(scope, scope_id, shadow=shadow), change=change)
        for past in pasts:
            make_counter(connection, past)
        after = list_limits(connection, scope, scope_id)
    say(f"The limits of {name} are now: {', '.join(written(each) for each in after)}.")
    shadows = {_place(each) for each in after if each.shadow}
    for replaced in (each for each in before if _place(each) in shadows):
        say(f"{format_limit(replaced)} refuses nothing any more: a shadow limit has taken its place.")


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
    """Remove limits. The amount does not matter and may be left out.

    \b
    zenmux-gateway limits remove --user alice images/day
    zenmux-gateway limits remove --gateway usd:50/day@gpt-image-2 --yes
    """
    settings, change = settings_of(context), change_by(context)
    limits = read_limits([_with_amount(text) for text in limit], catalog_of(settings), settings)
    chosen = _Target(key, user, team, gateway=gateway, default=default).required()
    with reading(context) as connection:
        scope, scope_id, name = chosen.find(connection)
    confirm(f"Remove {', '.join(limit)} of {name}?", yes=yes)
    with writing(context) as connection:
        for each in limits:
            remove_limit(connection, each.on(scope, scope_id), change=change)
        now = [written(each) for each in list_limits(connection, scope, scope_id)]
    say(f"The limits of {name} are now: {', '.join(now) or 'none'}.")


@app.command("list")
def list_all(
    context: typer.Context,
    key: Key = None,
    user: User = None,
    team: Team = None,
    gateway: Gateway = False,
    default: Default = False,
    as_json: Json = False,
) -> None:
    """List all limits, or those of one key, user, team, of the gateway, or the defaults.

    \b
    zenmux-gateway limits list
    zenmux-gateway limits list --team design --json
    """
    chosen = _Target(key, user, team, gateway=gateway, default=default)
    with reading(context) as connection:
        scope, scope_id = chosen.find(connection)[:2] if chosen.count else (None, None)
        names = _names(connection)
        limits = list_limits(connection, scope, scope_id)
    if as_json:
        show_json([_fields(each, names) for each in limits])
    elif not limits:
        say(
            f"No limits{' there' if chosen.count else ' yet'}. Set one: {PROGRAM} limits set --user NAME images:100/day"
        )
    else:
        show_table(
            ["scope", "name", "limit", "model", "shadow"],
            [
                [
                    each.scope,
                    names.get(each.scope_id, ""),
                    format_limit(each),
                    each.model or "all",
                    "yes" if each.shadow else "",
                ]
                for each in limits
            ],
        )


@app.command()
def explain(context: typer.Context, key: Key = None, user: User = None, as_json: Json = False) -> None:
    """Show every limit that applies to a key or a user: what is used, pending and left, and when it resets.

    \b
    zenmux-gateway limits explain --key 7y2mbq4k9x0a
    zenmux-gateway limits explain --user alice
    """
    if (key is None) == (user is None):
        raise WrongUse("Say whose limits: either --key ID or --user NAME.")
    now = Terminal.of(context).clock()
    with reading(context) as connection:
        found = existing_key(connection, key) if key is not None else None
        owner = existing_user(connection, found.user_id if found else str(user))
        # Without a key there is none with the empty id, so only the wider scopes answer.
        statuses = [
            status
            for status in standing_of(connection, found.id if found else "", owner.id, owner.team_id, now)
            if status.may_apply_to(found.models if found else None)
        ]
        names = _names(connection)
    if as_json:
        show_json([_fields(status.limit, names) | _standing(status) for status in statuses])
    elif not statuses:
        say(f"No limit applies to {found.id if found else owner.name}.")
    else:
        columns = ["limit", "of", "used", "of it pending", "left", "resets (UTC)"]
        show_table(columns, [_standing_row(status, names) for status in statuses], right=columns[2:5])


class _Target:
    """Whose limits a command is about."""

    def __init__(self, key: str | None, user: str | None, team: str | None, *, gateway: bool, default: bool) -> None:
        self._key, self._user, self._team, self._gateway = key, user, team, gateway
        self.count = sum((key is not None, user is not None, team is not None, gateway, default))
        if self.count > 1:
            raise WrongUse("Choose one of --key, --user, --team, --gateway and --default.")

    def required(self) -> "_Target":
        if not self.count:
            raise WrongUse("Say whose limit it is: --key ID, --user NAME, --team NAME, --gateway or --default.")
        return self

    def find(self, connection: Connection) -> tuple[Scope, str, str]:
        """Scope, id, and what people call it. Raises NotFound when it is not there."""
        if self._key is not None:
            key = existing_key(connection, self._key)
            return Scope.KEY, key.id, f"the key {key.id}"
        if self._user is not None:
            user = existing_user(connection, self._user)
            return Scope.USER, user.id, f"the user {user.name}"
        if self._team is not None:
            team = existing_team(connection, self._team)
            return Scope.TEAM, team.id, f"the team {team.name}"
        return (Scope.GATEWAY, "", "the gateway") if self._gateway else (Scope.DEFAULT, "", "new users")


def _pasts(context: typer.Context, chosen: _Target, limits: list[WrittenLimit]) -> list[Past]:
    """What limits without an end count so far, added up before anything is locked."""
    looks = {each.model: each for each in limits if each.window in (Window.TOTAL, Window.NOW)}
    found: list[Past | None] = []
    if looks:
        with (
            suppress(AdministrationError),
            reading(context) as connection,
        ):  # what is not there is made, or told, afterwards
            scope, scope_id, _ = chosen.find(connection)
            now = Terminal.of(context).clock()
            found = [add_up_past(connection, each.on(scope, scope_id), now) for each in looks.values()]
    return [past for past in found if past is not None]


def _place(limit: Limit) -> tuple[str, str, str]:
    """Of two limits of one owner with the same place, the later takes the earlier's."""
    return limit.unit, limit.window, limit.model


def _with_amount(text: str) -> str:
    """`images/day` → `images:0/day`, for whoever only names a limit."""
    return text if ":" in text.split("@", maxsplit=1)[0] else re.sub(r"^\s*([a-z]+)", r"\1:0", text)


def _names(connection: Connection) -> dict[str, str]:
    owners = {user.id: user.name for user in list_users(connection)}
    owners |= {team.id: team.name for team in list_teams(connection)}
    return owners | {key.id: f"{key.id} ({key.user_name})" for key in list_keys(connection)}


def _fields(limit: Limit, names: dict[str, str]) -> dict[str, Any]:
    return {
        "limit": format_limit(limit),
        "scope": limit.scope.value,
        "scope_id": limit.scope_id or None,
        "name": names.get(limit.scope_id),
        "unit": limit.unit.value,
        "window": limit.window.value,
        "model": limit.model or None,
        "shadow": limit.shadow,
        **amount_fields(limit.unit, "amount", limit.amount),
    }


def _standing(status: LimitStatus) -> dict[str, Any]:
    unit = status.limit.unit
    return {
        **amount_fields(unit, "used", status.used),
        **amount_fields(unit, "pending", status.pending),
        **amount_fields(unit, "left", status.left),
        "resets_at": iso(status.resets_at),
    }


def _standing_row(status: LimitStatus, names: dict[str, str]) -> list[str]:
    amounts = [describe_amount(status.limit.unit, value) for value in (status.used, status.pending, status.left)]
    whose = f"{status.scope} {names.get(status.limit.scope_id, '')}".strip()
    resets = "as they end" if status.limit.unit is Unit.CONCURRENT else day_and_time(status.resets_at) or "never"
    return [written(status.limit), whose, *amounts, resets]
