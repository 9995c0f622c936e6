"""`keys`: make, list, show, disable and rotate keys. A key's text is printed once, when it is made."""

from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from app.cli.options import Json, Yes, commands
from app.cli.people import existing_user, limit_of
from app.cli.store import catalog_of, change_by, reading, settings_of, writing
from app.cli.terminal import Terminal, confirm, read, say, show, show_json, show_table
from app.cli.words import day_and_time, iso, parse_duration, parse_expiry
from app.errors import CommandError
from app.images.catalog import Catalog
from app.keys.format import PUBLIC_ID_BYTES, SECRET_BYTES, mint, mint_again
from app.keys.records import Key, NewKey, create_key, create_user, find_key, find_user, list_keys, rotate_key
from app.keys.records import set_key_disabled as set_disabled
from app.quotas.administration import copy_defaults, list_limits, set_limit
from app.quotas.limits import Scope, format_limit

app = commands("Make, list, show, rotate and disable keys.")

KeyId = Annotated[str, typer.Argument(help="The key's public id, as `keys list` shows it.")]


@app.command()
def create(
    context: typer.Context,
    user: Annotated[str, typer.Option(help="Whose key it is; the user is made when there is none.")],
    limit: Annotated[list[str] | None, typer.Option(help="Such as images:100/day; may be repeated.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Allow only this model; may be repeated.")] = None,
    expires: Annotated[str | None, typer.Option(help="After a time such as 30d, or on a date.")] = None,
    name: Annotated[str | None, typer.Option(help="What it is for, such as laptop.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key, and its user when there is none.

    \b
    zenmux-gateway keys create --user alice --limit images:100/day --limit usd:5/month --expires 30d
    """
    terminal, change, catalog = Terminal.of(context), change_by(context), catalog_of(settings_of(context))
    expires_at = read("--expires", lambda: parse_expiry(expires, change.now)) if expires else None
    limits = [limit_of(text, catalog) for text in limit or ()]
    models = tuple(sorted({_model_id(given, catalog) for given in model})) if model else None
    minted = mint(terminal.random_bytes(PUBLIC_ID_BYTES), terminal.random_bytes(SECRET_BYTES))
    with writing(context) as connection:
        owner = find_user(connection, user)
        if owner is None:
            owner = create_user(connection, user, change=change)
            copy_defaults(connection, owner.id, change)
            say(f"Made the user {owner.name}.")
        key = create_key(connection, NewKey(owner.id, name, models, expires_at), minted, change=change)
        for written in limits:
            set_limit(connection, written.on(Scope.KEY, key.id), change=change)
        fields = _fields(connection, key)
    text = minted.text.get_secret_value()
    if as_json:
        show_json({"key": text, **fields})
    else:
        say("Give this key to its user. It is shown only now; the gateway keeps no copy.")
        show(text)


@app.command("list")
def list_(
    context: typer.Context,
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    as_json: Json = False,
) -> None:
    """List keys; never their texts, which nobody has."""
    now = Terminal.of(context).clock()
    with reading(context) as connection:
        owner = existing_user(connection, user) if user else None
        keys = [_fields(connection, key) for key in list_keys(connection, owner.id if owner else None)]
        shown = [(key, find_key(connection, key["id"])) for key in keys]
    if as_json:
        show_json(keys)
        return
    show_table(
        ["id", "user", "name", "state", "expires", "models", "limits"],
        [
            [
                fields["id"],
                fields["user"],
                fields["name"] or "",
                _state(key, now),
                day_and_time(key.expires_at),
                ", ".join(fields["models"] or ["all"]),
                ", ".join(fields["limits"]),
            ]
            for fields, key in shown
            if key is not None
        ],
    )


@app.command("show")
def show_key(context: typer.Context, key_id: KeyId, as_json: Json = False) -> None:
    """Show one key: whose it is, what it may do, its limits."""
    with reading(context) as connection:
        fields = _fields(connection, _existing(connection, key_id))
    if as_json:
        show_json(fields)
    else:
        show_table(["", ""], [[name, _word(value)] for name, value in fields.items()])


@app.command()
def disable(context: typer.Context, key_id: KeyId, yes: Yes = False) -> None:
    """Stop a key from working; its records and limits stay. `enable` undoes it."""
    confirm(f"Disable the key {key_id}? Its user's programs stop working.", yes=yes)
    with writing(context) as connection:
        set_disabled(connection, key_id, True, change=change_by(context))
    seconds = settings_of(context).key_cache_seconds
    say(f"The key {key_id} is disabled; running gateways notice within {seconds:g} seconds.")


@app.command()
def enable(context: typer.Context, key_id: KeyId) -> None:
    """Let a disabled key work again."""
    with writing(context) as connection:
        set_disabled(connection, key_id, False, change=change_by(context))
    say(f"The key {key_id} works.")


@app.command()
def rotate(
    context: typer.Context,
    key_id: KeyId,
    overlap: Annotated[str, typer.Option(help="How long the old text works too; 0 ends it at once.")] = "24h",
    as_json: Json = False,
    yes: Yes = False,
) -> None:
    """Give a key a new text. Its id, limits and use stay; the old text works on for the overlap.

    \b
    zenmux-gateway keys rotate k3f8s2m9q1xa --overlap 7d
    """
    from datetime import timedelta  # noqa: PLC0415

    terminal = Terminal.of(context)
    at_once = overlap.strip() in ("0", "0s")
    span = timedelta() if at_once else read("--overlap", lambda: parse_duration(overlap))
    if at_once:
        confirm(f"Replace the text of {key_id} at once? Programs that use the old one stop working.", yes=yes)
    with writing(context) as connection:
        _existing(connection, key_id)
        minted = mint_again(key_id, terminal.random_bytes(SECRET_BYTES))
        fields = _fields(connection, rotate_key(connection, key_id, minted, span, change=change_by(context)))
    text = minted.text.get_secret_value()
    if as_json:
        show_json({"key": text, **fields})
    else:
        old = "has ended" if at_once else f"works {overlap} more"
        say(f"The new text of {key_id}, shown only now. The old one {old}.")
        show(text)


def _existing(connection: Connection, key_id: str) -> Key:
    key = find_key(connection, key_id)
    if key is None:
        raise CommandError(f"There is no key {key_id!r}; `keys list` shows those that are.")
    return key


def _model_id(given: str, catalog: Catalog) -> str:
    spec = catalog.find(given)
    if spec is None:
        raise CommandError(f"The catalog has no model {given!r}; `catalog show` lists those it has.")
    return spec.id


def _fields(connection: Connection, key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "user": key.user_name,
        "name": key.name,
        "models": list(key.models) if key.models is not None else None,
        "limits": [format_limit(limit) for limit in list_limits(connection, Scope.KEY, key.id)],
        "created_at": iso(key.created_at),
        "expires_at": iso(key.expires_at),
        "disabled_at": iso(key.disabled_at),
    }


def _state(key: Key, now: Any) -> str:  # noqa: ANN401 - a datetime
    if key.disabled_at is not None:
        return "disabled"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "works"


def _word(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "" if value is None else str(value)
