"""`apply`: make teams, users, keys and limits be as a gateway.yaml says; or show what would change."""

import json
from pathlib import Path
from typing import Annotated

import typer

from app.admin.catalog import catalog_lines
from app.admin.lookup.model_names import ModelNames
from app.admin.setup.apply import apply_setup, plan_setup
from app.admin.setup.plan import SetupPlan
from app.cli.terminal.options import Json, command
from app.cli.terminal.output import PROGRAM, WrongUse, say, show, show_json
from app.cli.terminal.session import Session
from app.images.catalog.catalog import Catalog, load_catalog
from app.setup.catalog import catalog_with
from app.setup.document import json_schema
from app.setup.reading import SetupFile, read_setup_file

app = command()

_CHANGES_CODE = 2  # with --diff, as scripts expect it


@app.command()
def apply(
    context: typer.Context,
    file: Annotated[Path | None, typer.Option("--file", "-f", metavar="FILE", help="The gateway.yaml.")] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Only show what would change; exit with 2 if anything.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Disable what this file made and does not mention any more.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of the file, and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Make the set-up be as a file says: all of it, or nothing. What the file does not mention stays.

    \b
    zenmux-gateway apply -f gateway.yaml --diff     what would change? exit code 2: something
    zenmux-gateway apply -f gateway.yaml
    zenmux-gateway apply -f gateway.yaml --prune
    zenmux-gateway apply --schema > gateway.schema.json
    """
    if schema:
        show(json.dumps(json_schema(), indent=2))
        return
    if file is None:
        raise WrongUse("Say which file: -f gateway.yaml.")
    session = Session(context)
    read = read_setup_file(file)
    catalog = catalog_with(session.catalog, read)
    names, models = ModelNames.of(session.settings, catalog), _models(catalog, read)
    if diff:
        with session.existing() as operator:
            plan = plan_setup(operator, read, names, prune=prune)
        _show(plan, models, "would change", as_json=as_json)
        raise typer.Exit(_CHANGES_CODE if plan.count else 0)
    with session.made() as operator:
        applied = apply_setup(operator, read, names, prune=prune)
    _show(applied.plan, models, "changed", as_json=as_json)
    for (user, name), key_id in applied.unclaimed:
        say(f"Made the key {key_id} ({user}/{name}). Its first secret: {PROGRAM} keys rotate {key_id}")
    _tell_what_is_not_used(read)


def _models(catalog: Catalog, file: SetupFile) -> list[str]:
    """How the models with the file differ from those without any such file: what a gateway uses is not known here."""
    if not file.document.catalog:
        return []
    return list(catalog_lines(load_catalog(catalog.override_toml), catalog))


def _show(plan: SetupPlan, models: list[str], did: str, *, as_json: bool) -> None:
    lines = list(plan.lines())
    if as_json:
        show_json({"changes": lines, "notices": list(plan.notices), "models": models})
        return
    for line in lines:
        show(line)
    for notice in plan.notices:
        say(f"Mind: {notice}")
    say(f"{len(lines)} {did}." if lines else "Nothing to change.")
    if models:
        say("Models with this file's catalog, beside those without it:")
        for line in models:
            say(f"  {line}")


def _tell_what_is_not_used(file: SetupFile) -> None:
    found = file.document.model_fields_set
    if "oidc" in found:
        say("Mind: oidc is checked; a gateway takes it from its GATEWAY_BOOTSTRAP_FILE, at a start or a reload.")
    if "accounts" in found:
        say("Mind: of accounts only limits are applied; a gateway takes the rest from its GATEWAY_BOOTSTRAP_FILE.")
    if "catalog" in found:
        say("Mind: catalog is checked; a gateway takes it from its GATEWAY_BOOTSTRAP_FILE, at a start or a reload.")
