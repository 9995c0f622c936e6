"""`accounts`: the ZenMux accounts, which of them are up, and taking one out or in."""

from typing import Annotated

import typer

from app.admin.zenmux.accounts import AccountView, list_accounts, rest_account, resume_account
from app.cli.terminal.options import Json, commands
from app.cli.terminal.output import PROGRAM, read, say, show_json, show_table
from app.cli.terminal.parsing import day_and_time, parse_expiry
from app.cli.terminal.session import Session

app = commands("List the ZenMux accounts, take one out, take it in again.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The account's name; `main` if there is only one.")]


@app.command("list")
def list_all(context: typer.Context, as_json: Json = False) -> None:
    """List the accounts, what the running gateways say of them, and their limits.

    \b
    zenmux-gateway accounts list
    """
    session = Session(context)
    with session.existing() as operator:
        found = list_accounts(operator, session.settings_with_accounts.accounts)
    if as_json:
        show_json([each.as_json() for each in found])
    elif not found:
        say("No account is set: set ZENMUX_API_KEY, or ZENMUX_API_KEYS.")
    else:
        show_table(["name", "weight", "state", "until (UTC)", "processes up", "models", "limits"], [*map(_row, found)])


@app.command()
def rest(
    context: typer.Context,
    name: Name,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="WHEN", help="30m, 2h, or a time (UTC). Without it: until `accounts resume`."),
    ] = None,
) -> None:
    """Take an account out: no new request goes to it. What runs is finished. Within seconds all gateways know.

    \b
    zenmux-gateway accounts rest spare
    zenmux-gateway accounts rest spare --until 2h
    """
    session = Session(context)
    now = session.terminal.clock()
    until_at = read("--until", lambda: parse_expiry(until, now)) if until is not None else None
    with session.made() as operator:
        rest_account(operator, session.settings_with_accounts.accounts, name, until_at)
    how_long = f"until {day_and_time(until_at)} (UTC)" if until_at else f"until: {PROGRAM} accounts resume {name}"
    say(f"The account {name} rests, {how_long}")


@app.command()
def resume(context: typer.Context, name: Name) -> None:
    """Take an account in again, whatever kept it out: after a top-up, with a new key, or after `accounts rest`.

    \b
    zenmux-gateway accounts resume spare
    """
    session = Session(context)
    with session.made() as operator:
        resume_account(operator, session.settings_with_accounts.accounts, name)
    say(f"The account {name} is used again.")


def _row(shown: AccountView) -> list[str]:
    spec = shown.spec
    return [
        spec.name,
        str(spec.weight),
        f"{shown.state} ({shown.why})" if shown.why else shown.state,
        day_and_time(shown.until) or "",
        f"{shown.processes_up} of {shown.processes}",
        ", ".join(spec.models) or "all",
        ", ".join(shown.limits),
    ]
