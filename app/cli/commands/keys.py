"""`keys`: make, list, show, rotate, disable and enable keys. A key's text is printed once, when it is made."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

import typer

from app.admin.keys import WantedKey, create_key, disable_key, enable_key, list_keys, rotate_key, show_key
from app.admin.views import KeyView, MintedKeyView
from app.cli.terminal.options import Json, Yes, commands
from app.cli.terminal.output import (
    PROGRAM,
    confirm,
    read,
    read_as_written,
    say,
    show,
    show_json,
    show_lines,
    show_table,
)
from app.cli.terminal.parsing import day_and_time, parse_duration, parse_expiry
from app.cli.terminal.session import Session
from app.identity.keys.keys import Key
from app.identity.people.roles import Role
from app.settings.settings import Settings

app = commands("Make, list, show, rotate, disable and enable keys.")

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's public id, as `keys list` shows it.")]


@app.command()
def create(
    context: typer.Context,
    user: Annotated[str, typer.Option(metavar="NAME", help="Whose key it is; the user is made if there is none.")],
    limit: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Such as images:100/day or usd:5/month; repeatable.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Allow this model and no other; repeatable.")
    ] = None,
    expires: Annotated[str | None, typer.Option(metavar="WHEN", help="In 30d, 12h; or on 2027-01-31 (UTC).")] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is for, such as laptop.")] = None,
    role: Annotated[
        Role | None, typer.Option(help="What it may administer over HTTP; without one it sees its user's own.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key, and its user if there is none. The key goes to stdout, everything else to stderr.

    \b
    zenmux-gateway keys create --user alice --limit images:100/day --limit usd:5/month
    zenmux-gateway keys create --user alice --model gpt-image-2 --expires 30d --name laptop --json
    zenmux-gateway keys create --user ci --role admin             for the admin API
    key=$(zenmux-gateway keys create --user ci)
    """
    session = Session(context)
    now, models = session.terminal.clock(), session.models
    wanted = WantedKey(
        user=user,
        name=name,
        expires_at=read("--expires", lambda: parse_expiry(expires, now)) if expires is not None else None,
        limits=read_as_written(lambda: models.limits_of(limit or ())),
        models=read_as_written(lambda: tuple(map(models.id_of, model))) if model else None,
        role=role,
    )
    with session.made() as operator:
        made = create_key(operator, wanted)
    if as_json:
        show_json(made.as_json())
        return
    owner = made.owner.user
    if made.owner_is_new:
        say(f"Made the user {owner.name}{_with_limits(made.owner.limits)}.")
    if owner.disabled_at is not None:
        say(f"Mind: the user {owner.name} is disabled, so the key does not work: {PROGRAM} users enable {owner.name}")
    say(f"Made the key {made.key.key.id} for {owner.name}{_with_limits(made.key.limits)}.")
    _show_once(made, session.settings)


@app.command("list")
def list_all(
    context: typer.Context,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Only this user's.")] = None,
    as_json: Json = False,
) -> None:
    """List keys; never their texts, which are kept nowhere.

    \b
    zenmux-gateway keys list
    zenmux-gateway keys list --user alice --json
    """
    with (session := Session(context)).existing() as operator:
        keys = list_keys(operator, user)
    if as_json:
        show_json([key.as_json() for key in keys])
    elif not keys:
        say(f"No keys yet. Make one: {PROGRAM} keys create --user {user or 'NAME'}")
    else:
        now = session.terminal.clock()
        show_table(
            ["id", "user", "name", "state", "expires (UTC)", "models", "limits"], [_row(key, now) for key in keys]
        )


@app.command("show")
def show_one(context: typer.Context, key_id: KeyId, as_json: Json = False) -> None:
    """Show one key: whose it is, what it may do, its limits.

    \b
    zenmux-gateway keys show 7y2mbq4k9x0a
    """
    with (session := Session(context)).existing() as operator:
        shown = show_key(operator, key_id)
    if as_json:
        show_json(shown.as_json())
        return
    key = shown.key
    show_lines(
        {
            "key": key.id,
            "name": key.name or "",
            "user": key.user_name,
            "state": shown.state(session.terminal.clock()),
            "made": f"{day_and_time(key.created_at)} UTC",
            "expires": f"{day_and_time(key.expires_at)} UTC" if key.expires_at else "never",
            "models": ", ".join(key.models or ["all"]),
            "limits": ", ".join(shown.limits) or "none of its own",
            "administers": f"as {key.role}" if key.role else "nothing",
        }
    )
    say(f"What is used and left, with the limits of its user and team: {PROGRAM} limits explain --key {key.id}")


@app.command()
def disable(context: typer.Context, key_id: KeyId, yes: Yes = False) -> None:
    """Stop a key from working; its limits and records stay, and `enable` undoes it.

    \b
    zenmux-gateway keys disable 7y2mbq4k9x0a
    """
    with (session := Session(context)).existing() as operator:
        key = show_key(operator, key_id).key
        confirm(f"Disable the key {_called(key)}? Programs that use it stop working.", yes=yes)
        disable_key(operator, key.id)
    seconds = session.settings.key_cache_seconds
    say(f"The key {_called(key)} is disabled; a running gateway notices within {seconds:g} seconds.")


@app.command()
def enable(context: typer.Context, key_id: KeyId) -> None:
    """Let a disabled key work again.

    \b
    zenmux-gateway keys enable 7y2mbq4k9x0a
    """
    with (session := Session(context)).made() as operator:
        enabled = enable_key(operator, key_id)
    expired = enabled.state(session.terminal.clock()) == "expired"
    say(f"The key {_called(enabled.key)} is enabled{', but it has expired: make a new one' if expired else ''}.")


@app.command()
def rotate(
    context: typer.Context,
    key_id: KeyId,
    overlap: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old text works beside the new one; 0 ends it at once.")
    ] = "24h",
    as_json: Json = False,
    yes: Yes = False,
) -> None:
    """Give a key a new text. Its id, limits and use stay; the old text works on for the overlap.

    \b
    zenmux-gateway keys rotate 7y2mbq4k9x0a
    zenmux-gateway keys rotate 7y2mbq4k9x0a --overlap 7d
    zenmux-gateway keys rotate 7y2mbq4k9x0a --overlap 0 --yes     it leaked
    """
    at_once = overlap.strip() in ("0", "0s")
    span = timedelta() if at_once else read("--overlap", lambda: parse_duration(overlap))
    with (session := Session(context)).existing() as operator:
        key = show_key(operator, key_id).key
        if at_once:
            confirm(f"End the old text of {_called(key)} at once? Programs that use it stop working.", yes=yes)
        rotated = rotate_key(operator, key.id, span)
    if as_json:
        show_json(rotated.as_json())
        return
    say(f"The key {_called(key)} has a new text; the old one {'has ended' if at_once else f'works {overlap} more'}.")
    _show_once(rotated, session.settings)


def _show_once(minted: MintedKeyView, settings: Settings) -> None:
    say("This is the only time it is shown; the gateway keeps no copy of it:\n")
    show(minted.text.get_secret_value())
    say(f"\nIt is used with the base URL http://{settings.host}:{settings.port}/v1, or wherever your users reach it.")


def _row(shown: KeyView, now: datetime) -> list[str]:
    key = shown.key
    models = ", ".join(key.models or ["all"])
    expires = day_and_time(key.expires_at) or "never"
    return [key.id, key.user_name, key.name or "", shown.state(now), expires, models, ", ".join(shown.limits)]


def _called(key: Key) -> str:
    name = f" {key.name}" if key.name else ""
    return f"{key.id} ({key.user_name}{name})"


def _with_limits(limits: Sequence[str]) -> str:
    return f", limited to {', '.join(limits)}" if limits else ""
