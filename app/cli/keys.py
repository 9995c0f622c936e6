"""`keys`: make, list, show, rotate, disable and enable keys. A key's text is printed once, when it is made."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

import typer

from app.cli.options import Json, Yes, commands
from app.cli.people import (
    existing_key,
    existing_user,
    key_fields,
    limits_by_owner,
    limits_of,
    make_user,
    model_id_of,
    read_limits,
)
from app.cli.store import catalog_of, change_by, reading, settings_of, writing
from app.cli.terminal import PROGRAM, Terminal, confirm, read, say, show, show_json, show_lines, show_table
from app.cli.words import day_and_time, parse_duration, parse_expiry
from app.keys.format import PUBLIC_ID_BYTES, SECRET_BYTES, MintedKey, mint, mint_again
from app.keys.records import Key, NewKey, create_key, find_user, list_keys, rotate_key, set_key_disabled
from app.quotas.administration import set_limit
from app.quotas.limits import Scope
from app.settings import Settings

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
    as_json: Json = False,
) -> None:
    """Make a key, and its user if there is none. The key goes to stdout, everything else to stderr.

    \b
    zenmux-gateway keys create --user alice --limit images:100/day --limit usd:5/month
    zenmux-gateway keys create --user alice --model gpt-image-2 --expires 30d --name laptop --json
    key=$(zenmux-gateway keys create --user ci)
    """
    terminal, settings, change = Terminal.of(context), settings_of(context), change_by(context)
    catalog = catalog_of(settings)
    expires_at = read("--expires", lambda: parse_expiry(expires, change.now)) if expires is not None else None
    limits = read_limits(limit, catalog, settings)
    models = tuple(model_id_of(given, catalog, settings) for given in model) if model else None
    minted = mint(terminal.random_bytes(PUBLIC_ID_BYTES), terminal.random_bytes(SECRET_BYTES))
    with writing(context) as connection:
        owner, user_is_new = find_user(connection, user), False
        if owner is None:
            owner, user_is_new = make_user(connection, user, None, change), True
        key = create_key(connection, NewKey(owner.id, name, models, expires_at), minted, change=change)
        for written in limits:
            set_limit(connection, written.on(Scope.KEY, key.id), change=change)
        key_limits = limits_of(connection, Scope.KEY, key.id)
        user_limits = limits_of(connection, Scope.USER, owner.id)
    if as_json:
        show_json({"key": minted.text.get_secret_value(), **key_fields(key, key_limits)})
        return
    if user_is_new:
        say(f"Made the user {owner.name}{_with_limits(user_limits)}.")
    if owner.disabled_at is not None:
        say(f"Mind: the user {owner.name} is disabled, so the key does not work: {PROGRAM} users enable {owner.name}")
    say(f"Made the key {key.id} for {owner.name}{_with_limits(key_limits)}.")
    _show_once(minted, settings)


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
    with reading(context) as connection:
        owner = existing_user(connection, user) if user is not None else None
        keys = list_keys(connection, owner.id if owner else None)
        limits = limits_by_owner(connection, Scope.KEY)
    if as_json:
        show_json([key_fields(key, limits.get(key.id, [])) for key in keys])
    elif not keys:
        say(f"No keys yet. Make one: {PROGRAM} keys create --user {user or 'NAME'}")
    else:
        now = Terminal.of(context).clock()
        show_table(
            ["id", "user", "name", "state", "expires (UTC)", "models", "limits"],
            [_row(key, limits.get(key.id, []), now) for key in keys],
        )


@app.command("show")
def show_one(context: typer.Context, key_id: KeyId, as_json: Json = False) -> None:
    """Show one key: whose it is, what it may do, its limits.

    \b
    zenmux-gateway keys show 7y2mbq4k9x0a
    """
    with reading(context) as connection:
        key = existing_key(connection, key_id)
        limits = limits_of(connection, Scope.KEY, key.id)
    if as_json:
        show_json(key_fields(key, limits))
        return
    show_lines(
        {
            "key": key.id,
            "name": key.name or "",
            "user": key.user_name,
            "state": _state(key, Terminal.of(context).clock()),
            "made": f"{day_and_time(key.created_at)} UTC",
            "expires": f"{day_and_time(key.expires_at)} UTC" if key.expires_at else "never",
            "models": ", ".join(key.models or ["all"]),
            "limits": ", ".join(limits) or "none of its own",
        }
    )
    say(f"What is used and left, with the limits of its user and team: {PROGRAM} limits explain --key {key.id}")


@app.command()
def disable(context: typer.Context, key_id: KeyId, yes: Yes = False) -> None:
    """Stop a key from working; its limits and records stay, and `enable` undoes it.

    \b
    zenmux-gateway keys disable 7y2mbq4k9x0a
    """
    with reading(context) as connection:
        key = existing_key(connection, key_id)
    confirm(f"Disable the key {_called(key)}? Programs that use it stop working.", yes=yes)
    with writing(context) as connection:
        set_key_disabled(connection, key.id, True, change=change_by(context))
    seconds = settings_of(context).key_cache_seconds
    say(f"The key {_called(key)} is disabled; a running gateway notices within {seconds:g} seconds.")


@app.command()
def enable(context: typer.Context, key_id: KeyId) -> None:
    """Let a disabled key work again.

    \b
    zenmux-gateway keys enable 7y2mbq4k9x0a
    """
    with writing(context) as connection:
        key = existing_key(connection, key_id)
        key = set_key_disabled(connection, key.id, False, change=change_by(context))
    now = Terminal.of(context).clock()
    expired = ", but it has expired: make a new one" if key.expires_at is not None and key.expires_at <= now else ""
    say(f"The key {_called(key)} is enabled{expired}.")


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
    terminal, at_once = Terminal.of(context), overlap.strip() in ("0", "0s")
    span = timedelta() if at_once else read("--overlap", lambda: parse_duration(overlap))
    with reading(context) as connection:
        key = existing_key(connection, key_id)
    if at_once:
        confirm(f"End the old text of {_called(key)} at once? Programs that use it stop working.", yes=yes)
    minted = mint_again(key.id, terminal.random_bytes(SECRET_BYTES))
    with writing(context) as connection:
        key = rotate_key(connection, key.id, minted, span, change=change_by(context))
        limits = limits_of(connection, Scope.KEY, key.id)
    if as_json:
        show_json({"key": minted.text.get_secret_value(), **key_fields(key, limits)})
        return
    say(f"The key {_called(key)} has a new text; the old one {'has ended' if at_once else f'works {overlap} more'}.")
    _show_once(minted, settings_of(context))


def _show_once(minted: MintedKey, settings: Settings) -> None:
    say("This is the only time it is shown; the gateway keeps no copy of it:\n")
    show(minted.text.get_secret_value())
    say(f"\nIt is used with the base URL http://{settings.host}:{settings.port}/v1, or wherever your users reach it.")


def _row(key: Key, limits: Sequence[str], now: datetime) -> list[str]:
    models = ", ".join(key.models or ["all"])
    expires = day_and_time(key.expires_at) or "never"
    return [key.id, key.user_name, key.name or "", _state(key, now), expires, models, ", ".join(limits)]


def _state(key: Key, now: datetime) -> str:
    if key.disabled_at is not None:
        return "disabled"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"


def _called(key: Key) -> str:
    name = f" {key.name}" if key.name else ""
    return f"{key.id} ({key.user_name}{name})"


def _with_limits(limits: Sequence[str]) -> str:
    return f", limited to {', '.join(limits)}" if limits else ""
