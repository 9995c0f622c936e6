"""Runs an app with uvicorn: log and socket first, so a taken port is told in a line; ends with an exit code."""

import asyncio
import gc
import logging
import math
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, Signals, signal
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import Config

from app.errors import ConfigurationError
from app.server.http.bounds import HOOKS, Bounds, Hooks
from app.server.http.descriptors import Division, raise_limit
from app.server.http.protocol import protocol_of
from app.settings import Settings
from app.telemetry.logs import configure_logging

_BACKLOG = 2048
_NEW_OBJECTS_PER_COLLECTION = 10_000
# How long one thread may keep the interpreter while another waits for it. The event loop and the ledger's writer hand
# it to each other several times a request, and Python's own 5 ms made both wait: a third of p99 with 32 clients.
_SWITCH_SECONDS = 0.0002

_logger = logging.getLogger("gateway")


def start_logging(settings: Settings, worker: int | None = None) -> None:
    """Log lines from here on. Uvicorn's own steps are left out: `listening` and `stopped` say what matters of them."""
    configure_logging(settings.log_level, settings.log_format, worker)
    if settings.log_level == "info":
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def listen(host: str, port: int, setting: str) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises ConfigurationError naming `setting`, which chooses it."""
    listener = bind(host, port, setting)
    _notice_dead_callers(listener)
    listener.listen(_BACKLOG)
    return listener


def bind(host: str, port: int, setting: str) -> socket.socket:
    """A socket that has the address and does not listen yet. Raises ConfigurationError as `listen` does."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        raise ConfigurationError(
            f"{host!r} is no address of this machine; 127.0.0.1 and 0.0.0.0 always work."
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"Cannot listen on {host} port {port}: {error.strerror}. "
            f"Stop what is there, or choose another port with {setting}."
        ) from None
    return listener


def listen_beside(holder: socket.socket) -> socket.socket:
    """A listening socket on the address of `holder`, from `bind`; of several, the kernel gives a new connection to one.

    `holder` was bound alone, so a second gateway on this port is refused as ever. Raises OSError.
    """
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener = socket.socket(holder.family, holder.type, holder.proto)
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
    listener.bind(holder.getsockname())
    _notice_dead_callers(listener)
    listener.listen(_BACKLOG)
    return listener


def _notice_dead_callers(listener: socket.socket) -> None:
    """Connections accepted here ask, while nothing passes, whether the other end is still there: one that vanished
    without a word is given up within two minutes."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def bound_buffers(listener: socket.socket, socket_buffer_bytes: int | None) -> None:
    """Bounds what the kernel keeps of an answer for a client that reads slowly, for every connection that `listener`
    accepts from now on. None: the kernel chooses, up to megabytes."""
    if socket_buffer_bytes is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, socket_buffer_bytes)


def base_url(listener: socket.socket) -> str:
    """Where this machine reaches the listener: every interface is written as the loopback one."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read here, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Uvicorn that says when it is ready, drains the app when it stops, and ends by itself after one of `signals`."""

    def __init__(self, config: Config, on_ready: Callable[[], None], signals: Sequence[Signals]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._signals = signals
        self._drain_seconds: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._drain()
        if self._drain_seconds is not None:
            self.config.timeout_graceful_shutdown = math.ceil(self._drain_seconds) + 1
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._drain()  # uvicorn itself looks for the signal ten times a second

    def _drain(self) -> None:
        """From here on, requests that come in over open connections are refused, and /readyz says so."""
        if self._drain_seconds is None:
            hooks: Hooks = self.lifespan.state.get(HOOKS, Hooks())
            self._drain_seconds = hooks.drain()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # Uvicorn's own raises the signal again after a graceful stop, and the exit code would speak of a failure.
        originals = {number: signal(number, self.handle_exit) for number in self._signals}
        originals[SIGHUP] = signal(SIGHUP, SIG_IGN)  # a closed terminal, or a habit of operators, ends no image
        try:
            yield
        finally:
            for number, original in originals.items():
                signal(number, original)


def bounds_of(settings: Settings) -> Bounds:
    """What callers may take of this process, which may open as many files as it is allowed from now on."""
    division = Division(raise_limit(), settings.requests_in_flight_max, settings.connections_wished)
    advice = division.advice()
    if advice is not None:
        _logger.warning(advice)
    return Bounds.of(settings, division.connections_max)


def tune_interpreter() -> None:
    """For a process that serves: threads hand the interpreter over sooner, and the collector of circles comes seldom.

    By itself it looks at every 700th new object, and again and again at all that was loaded at the start: a tenth of a
    request's time. What is there now stays, without a look for the little of it that is garbage (0.1 s of the start).
    """
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS_PER_COLLECTION, 20, 50)
    sys.setswitchinterval(_SWITCH_SECONDS)


def server_config(app: Any, shutdown_seconds: float, bounds: Bounds) -> Config:  # noqa: ANN401 - any ASGI app
    """How uvicorn serves `app`; each of them has connections of its own to bound."""
    return Config(
        app,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http=protocol_of(bounds),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=math.ceil(shutdown_seconds),
    )


def run(
    app: Any,  # noqa: ANN401 - any ASGI app
    listener: socket.socket,
    *,
    shutdown_seconds: float,
    on_ready: Callable[[], None],
    signals: Sequence[Signals] = (SIGINT, SIGTERM),
    bounds: Bounds = Bounds(),  # noqa: B008 - frozen
) -> int:
    """Serve until one of `signals`, then let running requests finish for `shutdown_seconds`. The exit code: 0, or 1
    when the app could not start; its reason is in the log."""
    config = server_config(app, shutdown_seconds, bounds)
    server = _Server(config, on_ready, signals)
    tune_interpreter()
    try:
        server.run(sockets=[listener])
    except SystemExit:  # uvicorn's word for an app that did not start
        return 1
    except asyncio.CancelledError:
        return 1
    finally:
        listener.close()
    return 0
