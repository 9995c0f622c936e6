"""`version`."""

import platform
from importlib.resources import files

from app import __version__
from app.cli.terminal.options import Json, command
from app.cli.terminal.output import PROGRAM, show, show_json

app = command()


@app.command()
def version(*, as_json: Json = False) -> None:
    """Print the version, and the commit it was built from.

    Example: zenmux-gateway version --json
    """
    if as_json:
        show_json({"version": __version__, "commit": commit(), "python": platform.python_version()})
    else:
        show(described())


def described() -> str:
    """The program, its version, and the commit where it is known."""
    found = commit()
    return f"{PROGRAM} {__version__}" + (f" ({found})" if found else "")


def commit() -> str | None:
    """What `make dist` and the image were built from; None in a checkout."""
    file = files("app") / "COMMIT"
    return file.read_text(encoding="ascii").strip() or None if file.is_file() else None
