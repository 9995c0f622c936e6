"""The root command with its global options. Every command is a file in commands/."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from app.cli.terminal.output import PROGRAM, Terminal, show
from app.cli.terminal.root import Root

app = typer.Typer(
    cls=Root,
    name=PROGRAM,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help is three times as fast, and can be pasted
    context_settings={"help_option_names": ["-h", "--help"]},
    help="An OpenAI-compatible gateway for image generation in front of ZenMux: keys, limits and exact metering.",
    epilog=f"First time here? {PROGRAM} dev",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from app.cli.commands.version import described  # noqa: PLC0415 - nobody else needs it

        show(described())
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            envvar="GATEWAY_CONFIG",
            metavar="FILE",
            help="Settings file; the environment wins over it.",
        ),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option(
            "--actor",
            envvar="GATEWAY_ACTOR",
            metavar="NAME",
            help="Who you are, for `changes list`, where several people share one account of the system.",
        ),
    ] = None,
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    terminal = replace(context.obj or Terminal(), config_file=config)
    context.obj = terminal.known_as(actor) if actor and actor.strip() else terminal


def run() -> None:
    """The console script `zenmux-gateway`."""
    app()
