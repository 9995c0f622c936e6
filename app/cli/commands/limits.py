"""`limits`: set, list, remove and explain limits on keys, users, teams, ZenMux accounts and the whole gateway."""

import re
from collections.abc import Mapping
from typing import Annotated

import typer

from app.admin.limits import (
    Target,
    list_limits,
    raise_limits,
    remove_limits,
    set_limits,
    show_target,
)
from app.admin.reads.explain import explain_key, explain_request, explain_user
from app.admin.views import LimitStatusView, LimitView, written_limit
from app.cli.terminal.options import Json, Yes, commands
from app.cli.terminal.output import PROGRAM, WrongUse, confirm, read, read_as_written, say, show_json, show_table
from app.cli.terminal.parsing import day_and_time, parse_expiry
from app.cli.terminal.session import Session
from app.quotas.rules.limits import Scope, Unit, describe_amount, format_limit

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
Account = Annotated[str | None, typer.Option(metavar="NAME", help="This ZenMux account: all that is bought with it.")]
Gateway = Annotated[bool, typer.Option("--gateway", help="Everybody together.")]
Default = Annotated[bool, typer.Option("--default", help="Every user made from now on gets a copy.")]


@app.command("set")
def set_(
    context: typer.Context,
    limit: Written,
    key: Key = None,
    user: User = None,
    team: Team = None,
    account: Account = None,
    gateway: Gateway = False,
    default: Default = False,
    shadow: Annotated[bool, typer.Option("--shadow", help="Only count and tell what it would refuse.")] = False,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Raise limits that are, until 2027-01-31 (UTC) or for 7d.")
    ] = None,
) -> None:
    """Set limits, or change the amounts of those that are. What was used in the window before counts.

    \b
    units    requests, images, tokens, usd; and concurrent, which has no window
    windows  minute, hour, day, week, month, total (UTC)
    zenmux-gateway limits set --user alice images:20/day usd:5/month
    zenmux-gateway limits set --team design usd:300/month
    zenmux-gateway limits set --account spare usd:20/day
    zenmux-gateway limits set --gateway usd:50/day@gpt-image-2
    zenmux-gateway limits set --default images:100/day concurrent:4
    zenmux-gateway limits set --user alice images:10/day --shadow
    zenmux-gateway limits set --user alice images:50/day --until 7d     afterwards what counts now counts again
    """
    session = Session(context)
    models = session.models
    limits = read_as_written(lambda: models.limits_of(limit))
    target = _required(_target((key, user, team, account), gateway=gateway, default=default))
    if target.scope is Scope.ACCOUNT:
        session.check_account(target.name)
    if until is not None and shadow:
        raise WrongUse("A shadow limit refuses nothing, so nothing is raised: leave --shadow or --until out.")
    if until is not None:
        ends_at = read("--until", lambda: parse_expiry(until, session.terminal.clock()))
        with session.existing() as operator:
            now = raise_limits(operator, target, limits, ends_at)
        say(f"The limits of {now.whose} are now: {', '.join(map(written_limit, now.limits))}.")
        return
    with session.made() as operator:
        now = set_limits(operator, target, limits, shadow=shadow)
    say(f"The limits of {now.whose} are now: {', '.join(map(written_limit, now.limits))}.")
    for replaced in now.replaced:
        say(f"{format_limit(replaced)} refuses nothing any more: a shadow limit has taken its place.")


@app.command()
def remove(
    context: typer.Context,
    limit: Written,
    key: Key = None,
    user: User = None,
    team: Team = None,
    account: Account = None,
    gateway: Gateway = False,
    default: Default = False,
    yes: Yes = False,
) -> None:
    """Remove limits. The amount does not matter and may be left out.

    \b
    zenmux-gateway limits remove --user alice images/day
    zenmux-gateway limits remove --gateway usd:50/day@gpt-image-2 --yes
    """
    session = Session(context)
    models = session.models
    limits = read_as_written(lambda: models.limits_of(map(_with_amount, limit)))
    target = _required(_target((key, user, team, account), gateway=gateway, default=default))
    with session.existing() as operator:
        confirm(f"Remove {', '.join(limit)} of {show_target(operator, target).whose}?", yes=yes)
        now = remove_limits(operator, target, limits)
    say(f"The limits of {now.whose} are now: {', '.join(map(written_limit, now.limits)) or 'none'}.")


@app.command("list")
def list_all(
    context: typer.Context,
    key: Key = None,
    user: User = None,
    team: Team = None,
    account: Account = None,
    gateway: Gateway = False,
    default: Default = False,
    as_json: Json = False,
) -> None:
    """List all limits, or those of one key, user, team, account, of the gateway, or the defaults.

    \b
    zenmux-gateway limits list
    zenmux-gateway limits list --team design --json
    """
    target = _target((key, user, team, account), gateway=gateway, default=default)
    with Session(context).existing() as operator:
        limits = list_limits(operator, target)
    if as_json:
        show_json([each.as_json() for each in limits])
    elif not limits:
        say(f"No limits{' there' if target else ' yet'}. Set one: {PROGRAM} limits set --user NAME images:100/day")
    else:
        show_table(["scope", "name", "limit", "model", "shadow"], [_row(each) for each in limits])


@app.command()
def explain(
    context: typer.Context,
    key: Key = None,
    user: User = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Of a request for this model.")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="In this size.")] = None,
    quality: Annotated[str | None, typer.Option(metavar="WORD", help="In this quality.")] = None,
    n: Annotated[int | None, typer.Option("--n", metavar="N", min=1, max=1000, help="For so many images.")] = None,
    as_json: Json = False,
) -> None:
    """Show every limit that applies to a key or a user: what is used, pending and left, and when it resets. With a
    request: what it would be held for at most, and which limit would refuse it.

    \b
    zenmux-gateway limits explain --key 7y2mbq4k9x0a
    zenmux-gateway limits explain --user alice
    zenmux-gateway limits explain --user alice --model gpt-image-2 --size 1536x1024 --quality high --n 4
    """
    if (key is None) == (user is None):
        raise WrongUse("Say whose limits: either --key ID or --user NAME.")
    fields = {"model": model, "size": size, "quality": quality, "n": n}
    if given := {name: value for name, value in fields.items() if value is not None}:
        _explain_request(Session(context), given, (user, key), as_json=as_json)
        return
    with Session(context).existing() as operator:
        found = explain_key(operator, key) if key is not None else explain_user(operator, str(user))
    if as_json:
        show_json([each.as_json() for each in found.statuses])
    elif not found.statuses:
        say(f"No limit applies to {found.whose}.")
    else:
        columns = ["limit", "of", "used", "of it pending", "left", "resets (UTC)"]
        show_table(columns, [_status_row(each) for each in found.statuses], right=columns[2:5])


def _explain_request(
    session: Session, fields: Mapping[str, object], whose: tuple[str | None, str | None], *, as_json: bool
) -> None:
    wanted = read_as_written(lambda: session.image_request(fields))
    user, key_id = whose
    with session.existing() as operator:
        found = explain_request(operator, wanted, user=user, key_id=key_id)
    shown = found.as_json()
    if as_json:
        show_json(shown)
        return
    what = f"{shown['images']} x {shown['model']}, {shown['size']} {shown['quality']}"
    held = f"${shown['cost_usd']['at_most']} and {shown['tokens']['at_most']:,} tokens"
    say(f"{what}: held at most {held}{'' if shown['priced'] else '; its price is unknown'}.")
    if not found.model_allowed:
        say(f"The key may not use the model {shown['model']}.")
    say(shown["refusal"] or "Every limit lets it pass now.")
    rows = [
        [each["limit"], each["scope"], str(each["needed"]), str(each["left"]), "yes" if each["fits"] else "no"]
        for each in shown["limits"]
    ]
    if rows:
        show_table(["limit", "of", "needed", "left", "fits"], rows, right=["needed", "left"])


def _target(
    named: tuple[str | None, str | None, str | None, str | None], *, gateway: bool, default: bool
) -> Target | None:
    """Whose limits a command is about; None if it does not say. Raises WrongUse if it names several."""
    scopes = (Scope.KEY, Scope.USER, Scope.TEAM, Scope.ACCOUNT)
    chosen = [Target(scope, name) for scope, name in zip(scopes, named, strict=True) if name is not None]
    chosen += [Target(scope) for scope, is_meant in ((Scope.GATEWAY, gateway), (Scope.DEFAULT, default)) if is_meant]
    if len(chosen) > 1:
        raise WrongUse("Choose one of --key, --user, --team, --account, --gateway and --default.")
    return chosen[0] if chosen else None


def _required(target: Target | None) -> Target:
    if target is None:
        raise WrongUse(
            "Say whose limit it is: --key ID, --user NAME, --team NAME, --account NAME, --gateway or --default."
        )
    return target


def _with_amount(text: str) -> str:
    """`images/day` → `images:0/day`, because a limit may be named without its amount."""
    return text if ":" in text.split("@", maxsplit=1)[0] else re.sub(r"^\s*([a-z]+)", r"\1:0", text)


def _row(shown: LimitView) -> list[str]:
    limit = shown.limit
    return [limit.scope, shown.name or "", format_limit(limit), limit.model or "all", "yes" if limit.shadow else ""]


def _status_row(shown: LimitStatusView) -> list[str]:
    status = shown.status
    amounts = [describe_amount(status.limit.unit, value) for value in (status.used, status.pending, status.left)]
    whose = f"{status.scope} {shown.name or ''}".strip()
    resets = "as they end" if status.limit.unit is Unit.CONCURRENT else day_and_time(status.resets_at) or "never"
    return [written_limit(status.limit), whose, *amounts, resets]
