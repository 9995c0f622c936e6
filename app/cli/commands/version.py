"""`version`."""

import platform

from app import __version__
from app.cli.terminal.options import Json, command
from app.cli.terminal.output import PROGRAM, show, show_json

app = command()


@app.command()
def version(*, as_json: Json = False) -> None:
    """Print the version.

    Example: zenmux-gateway version --json
    """
    if as_json:
        show_json({"version": __version__, "python": platform.python_version()})
    else:
        show(f"{PROGRAM} {__version__}")
