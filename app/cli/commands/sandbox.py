"""`sandbox`: the stand-in for ZenMux alone, to try a gateway, or any client of ZenMux, against it."""

import sys
from signal import SIGTERM, signal
from typing import Annotated

import typer

from app.cli.terminal.options import command
from app.errors import ConfigurationError

app = command()


@app.command()
def sandbox(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="NUMBER", help="Port; 0 picks a free one.")] = 8090,
    json_edits_fail: Annotated[
        bool, typer.Option("--json-edits-fail", help="Answer 500 to every edit sent as JSON, as ZenMux was seen to do.")
    ] = False,
) -> None:
    """Run the pretend ZenMux until Ctrl-C. It draws real images, keeps a bill, and charges nobody.

    \b
    zenmux-gateway sandbox --port 8090
    ZENMUX_BASE_URL=http://127.0.0.1:8090/api/v1 ZENMUX_API_KEY=sk-ai-v1-any zenmux-gateway serve
    """
    from app.sandbox.options import SandboxOptions  # noqa: PLC0415 - with the next
    from app.sandbox.server import run  # noqa: PLC0415 - Pillow is slow to load

    # A requested stop is not a failure: uvicorn raises the signal again when it is done.
    signal(SIGTERM, lambda *_: sys.exit(0))
    try:
        run(host, port, SandboxOptions(json_edits_fail=json_edits_fail))
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {host} port {port}: {error.strerror}. Choose another --port."
        ) from None
