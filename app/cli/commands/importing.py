"""`import`: a gateway.yaml out of another gateway's set-up, and a report of what has no equivalent."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import SecretStr

from app.admin.litellm.listings import read_config, read_proxy
from app.admin.litellm.objects import Proxy
from app.admin.litellm.report import ImportReport
from app.admin.litellm.translate import Imported, translate
from app.cli.terminal.options import Json, commands
from app.cli.terminal.output import PROGRAM, WrongUse, read_as_written, say, show, show_json, show_table
from app.cli.terminal.session import Session
from app.errors import ConfigurationError, InvalidValue
from app.setup.reading import read_setup

app = commands("Make a gateway.yaml out of another gateway's set-up.")

_MASTER_KEY = "LITELLM_MASTER_KEY"
_HEAD = """\
# Made by `zenmux-gateway import litellm`: see docs/moving-in.md. Read it, then: zenmux-gateway apply -f FILE --diff
"""


@app.callback()
def _group() -> None:
    """One command so far, and its name is needed all the same."""


@app.command()
def litellm(
    context: typer.Context,
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="LiteLLM's config.yaml.")] = None,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="A running proxy, to ask for its keys.")
    ] = None,
    master_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"The file with the proxy's master key; else {_MASTER_KEY} has it."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the gateway.yaml here, not to stdout.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a gateway.yaml with the teams, users, keys and limits of a LiteLLM proxy. Changes nothing, here or there.

    \b
    zenmux-gateway import litellm --url http://localhost:4000 --out gateway.yaml    # LITELLM_MASTER_KEY is set
    zenmux-gateway import litellm config.yaml --url http://localhost:4000 > gateway.yaml
    zenmux-gateway apply -f gateway.yaml --diff
    """
    if config is None and url is None:
        raise WrongUse("Name LiteLLM's config.yaml, or a running proxy with --url, or both.")
    session = Session(context)
    proxy = Proxy()
    if config is not None:
        proxy = read_as_written(lambda: read_config(_text_of(config), str(config)))
    if url is not None:
        live = asyncio.run(read_proxy(session.settings, url, _master_key(master_key_file)))
        proxy = replace(live, settings=proxy.settings, deployments=[*proxy.deployments, *live.deployments])
    imported = translate(proxy, session.catalog, session.terminal.clock())
    text = _HEAD + yaml.safe_dump(imported.document, sort_keys=False, allow_unicode=True)
    read_setup(text.encode(), "the file that was made")
    if out is not None:
        out.write_text(text, encoding="utf-8")
    _show(imported, text, out, as_json=as_json)


def _show(imported: Imported, text: str, out: Path | None, *, as_json: bool) -> None:
    made = {name: len(imported.document.get(name, ())) for name in ("teams", "users", "keys")}
    if as_json:
        rows = [row._asdict() for row in imported.report.rows]
        show_json({"made": made, "report": rows, "file": None if out is None else str(out), "text": text})
        return
    if out is None:
        show(text.rstrip("\n"))
    _show_report(imported.report, on_stderr=out is None)
    counts = ", ".join(f"{count} {name.removesuffix('s') if count == 1 else name}" for name, count in made.items())
    say(f"Made: {counts}. Next: {PROGRAM} apply -f {out or 'gateway.yaml'} --diff")


def _show_report(report: ImportReport, *, on_stderr: bool) -> None:
    """One line for each kind of thing that is not as it was; --json has each of them."""
    rows = [(str(count), row.what, row.name, row.field, row.note) for row, count in report.grouped()]
    if rows:
        show_table(("count", "what", "first", "LiteLLM's field", "what became of it"), rows, on_stderr=on_stderr)


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidValue(f"{file} is not UTF-8 text.") from None


def _master_key(file: Path | None) -> SecretStr:
    text = (os.environ.get(_MASTER_KEY, "") if file is None else _text_of(file)).strip()
    if not text.isascii() or not text.isprintable() or not text:
        raise ConfigurationError(
            f"Set {_MASTER_KEY} to the proxy's master key, or name a file: --master-key-file FILE."
        )
    return SecretStr(text)
