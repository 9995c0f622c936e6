"""`config`: check the settings before anything starts, and show where each comes from."""

import os
from dataclasses import asdict

import typer

from app.cli.configuration import judge_key, misspelt_names, show_settings
from app.cli.options import Json, commands
from app.cli.store import catalog_of, opened, settings_of, shown_place
from app.cli.terminal import say, show_json, show_table
from app.database.engine import reading
from app.errors import GatewayError

app = commands("Check and show the settings.")


@app.command()
def check(context: typer.Context, as_json: Json = False) -> None:
    """Check settings, ZenMux key, catalog file and database. Exit 1 when the gateway could not work so."""
    settings = settings_of(context)
    faults = [advice.message for advice in judge_key(settings.zenmux_api_key) if advice.serious]
    advices = [advice.message for advice in judge_key(settings.zenmux_api_key) if not advice.serious]
    advices += misspelt_names(os.environ)
    try:
        from app.main import request_policy  # noqa: PLC0415 - loads the whole house

        request_policy(settings, catalog_of(settings))
        with opened(settings) as engine, reading(engine):
            pass
    except GatewayError as error:
        faults.append(error.message)
    if as_json:
        show_json({"ok": not faults, "faults": faults, "advice": advices})
    else:
        for fault in faults:
            say(f"Wrong: {fault}")
        for advice in advices:
            say(f"Mind: {advice}")
        if not faults:
            say(f"The settings are right. Database: {shown_place(settings)}")
    raise typer.Exit(1 if faults else 0)


@app.command()
def show(context: typer.Context, as_json: Json = False) -> None:
    """Show every setting, its value (secrets hidden) and where it comes from."""
    shown = show_settings(settings_of(context), os.environ, {})
    if as_json:
        show_json([asdict(setting) for setting in shown])
    else:
        show_table(["setting", "value", "from"], [[each.name, each.value or "", each.origin] for each in shown])
