"""Serves the stand-in over HTTP: in the foreground for the command line, in a thread for tests and `dev`."""

import contextlib
import socket
import sys
import threading
from types import TracebackType
from typing import Final, Self

import uvicorn

from app.sandbox.answers.connection import BreakableProtocol
from app.sandbox.app import API_PATH, BILL_PATH, create_sandbox
from app.sandbox.options import SandboxOptions

_START_SECONDS_MAX: Final = 30.0
# Far longer than a gateway keeps an idle connection. Otherwise, on a busy machine, a request could meet a connection
# that is being closed.
_KEEP_ALIVE_SECONDS: Final = 75


class SandboxServer:
    """The stand-in with its own thread and loop, as a context manager. Port 0 takes a free one.

    Entering binds the port (OSError if it is taken) and returns once requests are answered. Leaving closes all
    connections and ends the thread.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, options: SandboxOptions | None = None) -> None:
        self._address = (host, port)
        self._options = options or SandboxOptions()
        self._origin = ""

    @property
    def url(self) -> str:
        """The base URL, as ZENMUX_BASE_URL wants it. Known once entered."""
        return self._origin + API_PATH

    @property
    def bill_url(self) -> str:
        """Where the bill is read (GET) and emptied (DELETE). Known once entered."""
        return self._origin + BILL_PATH

    def __enter__(self) -> Self:
        listener = _listen(*self._address)
        self._origin = _origin(listener)
        self._server = _Server(self._options)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True
        )
        self._thread.start()
        if not self._server.ready.wait(_START_SECONDS_MAX):
            raise RuntimeError("the sandbox did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()


def run(host: str = "127.0.0.1", port: int = 8090, options: SandboxOptions | None = None) -> None:
    """Serve in the foreground until interrupted. Raises OSError when the port is taken."""
    listener = _listen(host, port)
    origin = _origin(listener)
    sys.stdout.write(
        f"A stand-in ZenMux answers at {origin}{API_PATH} (any key that begins with sk-ai-v1- is good).\n"
        f"It draws real images and charges no money; its bill is at {origin}{BILL_PATH}. Ctrl+C stops it.\n"
    )
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        _Server(options or SandboxOptions()).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn without its logging, with an event that is set when it answers."""

    def __init__(self, options: SandboxOptions) -> None:
        config = uvicorn.Config(
            create_sandbox(options),
            http=BreakableProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=options.connections_max,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=options.shutdown_seconds,
        )
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket; its name is resolved here, so a bad one fails at once."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _origin(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
