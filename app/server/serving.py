"""Runs an app with uvicorn: log and socket first, so that a used port gives one clear line. Ends with an exit code."""

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
from app.server.http.protocol import protocol_of
from app.server.memory import keep_freed_memory
from app.settings.callers.descriptors import raise_limit
from app.settings.settings import Settings
from app.telemetry.logs import configure_logging

# As many as the kernel allows by default (net.core.somaxconn). Whoever finds no place tries again after a second.
_BACKLOG = 4096
# What the kernel takes of an answer beyond what is on its way to the caller.
_UNSENT_BYTES = 131_072
_NEW_OBJECTS_PER_COLLECTION = 10_000
# How long one thread may keep the interpreter while another waits for it. The event loop and the ledger's writer switch
# several times per request. With Python's default of 5 ms both waited: a third of p99 with 32 clients.
_SWITCH_SECONDS = 0.0002

_logger = logging.getLogger("gateway")


def start_logging(settings: Settings, worker: int | None = None) -> None:
    """Starts logging. Uvicorn's own steps are left out: `listening` and `stopped` say what matters."""
    configure_logging(settings.log_level, settings.log_format, worker)
    if settings.log_level == "info":
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def listen(host: str, port: int, setting: str) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises ConfigurationError naming `setting`, which chooses the
    address.
    """
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
    """A listening socket on the address of `holder`, from `bind`. The kernel gives each new connection to one of them.

    `holder` was bound alone, so a second gateway on this port is still refused. Raises OSError.
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
    """Makes idle connections check whether the other end is still there. One that vanished without closing is ended
    within two minutes.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def bound_buffers(listener: socket.socket, socket_buffer_bytes: int | None) -> None:
    """Bounds what the kernel holds of an answer for a slow client, for every connection that `listener` accepts from
    now on. None: the kernel chooses how much is on its way.

    What waits behind that is always bounded, where the system can: with megabytes in the kernel, an answer that is cut
    in the middle would count as delivered.
    """
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    if socket_buffer_bytes is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, socket_buffer_bytes)


def base_url(listener: socket.socket) -> str:
    """The URL at which this machine reaches the listener. An address for every interface becomes the loopback
    address.
    """
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read here, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Uvicorn that says when it is ready, drains the app when it stops, and ends by itself after one of `signals`."""

    def __init__(self, config: Config, on_ready: Callable[[Hooks], None], signals: Sequence[Signals]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._signals = signals
        self._drain_seconds: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready(self._hooks)

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
            self._drain_seconds = self._hooks.drain()

    @property
    def _hooks(self) -> Hooks:
        found: Hooks = self.lifespan.state.get(HOOKS, Hooks())
        return found

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # Uvicorn raises the signal again after a graceful stop; the exit code would then report a failure.
        originals = {number: signal(number, self.handle_exit) for number in self._signals}
        # A closed terminal must not end images. `on_ready` may put something better in its place.
        originals[SIGHUP] = signal(SIGHUP, SIG_IGN)
        try:
            yield
        finally:
            for number, original in originals.items():
                signal(number, original)


def bounds_of(settings: Settings) -> Bounds:
    """What callers may take of this process, which may open as many files as it is allowed from now on."""
    raise_limit()
    if settings.capacity.advice is not None:
        _logger.warning(settings.capacity.advice)
    return Bounds.of(settings)


def tune_interpreter() -> None:
    """For a process that serves: threads switch sooner, garbage is collected less often, and a little of what is freed
    is kept.

    By default Python inspects after every 700 new objects, again and again all that was loaded at the start: a tenth of
    a request's time. What exists now is never inspected again; the little garbage in it is not worth 0.1 s of the
    start.
    """
    keep_freed_memory()
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
    on_ready: Callable[[Hooks], None],
    signals: Sequence[Signals] = (SIGINT, SIGTERM),
    bounds: Bounds = Bounds(),  # noqa: B008 - frozen
) -> int:
    """Serves until one of `signals`, then lets running requests finish for `shutdown_seconds`. `on_ready` is called in
    the event loop, with what the app offers. Returns the exit code: 0, or 1 if the app could not start; the log has the
    reason.
    """
    config = server_config(app, shutdown_seconds, bounds)
    server = _Server(config, on_ready, signals)
    tune_interpreter()
    try:
        server.run(sockets=[listener])
    except SystemExit:  # uvicorn raises it if the app did not start
        return 1
    except asyncio.CancelledError:
        return 1
    finally:
        listener.close()
    return 0
