"""One of several processes that serve behind one port. The supervisor starts it, in an interpreter of its own.

All it needs comes over the line, a socket to the supervisor: first its configuration, later newer ones and which
workers have died. The line's end is the word to stop, also when the supervisor was killed. Imports nothing of the
terminal: this process is the one that stays.
"""

import asyncio
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.configuration.configuration import Configuration, ConfigurationState
from app.errors import GatewayError
from app.server import serving
from app.server.http.bounds import Hooks
from app.server.loading import loading
from app.server.messages import ALIVE, READY, RELOAD, TRY, Lines, Using, decode, encode_using
from app.telemetry.shared_counters import SharedCounters

ALIVE_SECONDS = 2.0  # how often it reports that its event loop runs

logger = logging.getLogger("gateway")


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker is given: what to work with, its number from 1, its name in the ledger; the descriptors it
    inherits.
    """

    configuration: Configuration
    number: int
    instance: str
    listener: int
    shared_counters: int


def start(line: socket.socket, assignment: Assignment) -> "subprocess.Popen[bytes]":
    """Starts a worker at the other end of `line`, in a new interpreter that finds the same modules."""
    code = f"from app.server.worker import run_worker; run_worker({line.fileno()})"
    return subprocess.Popen(  # noqa: S603 - ourselves
        # the last argument is for `ps`
        [sys.executable, "-P", "-c", code, "zenmux-gateway", f"worker-{assignment.number}"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(place).absolute()) for place in sys.path)},
        pass_fds=(line.fileno(), assignment.listener, assignment.shared_counters),
    )


def encode_assignment(assignment: Assignment) -> bytes:
    """What is sent once the worker is started. It contains secrets; arguments and environments are visible to
    others.
    """
    return pickle.dumps(assignment)


def run_worker(line_descriptor: int) -> None:
    """The whole life of a worker; exits with 0 after a graceful stop."""
    # Ctrl-C reaches every process of the terminal, but only the supervisor tells workers to stop, once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with socket.socket(fileno=line_descriptor) as line:
        try:
            with line.makefile("rb") as reader:
                assignment: Assignment = pickle.load(reader)  # noqa: S301 - from our own parent
        except EOFError:
            sys.exit(0)  # the supervisor ended before it had sent anything
        sys.exit(_serve(assignment, line))


def _serve(assignment: Assignment, line: socket.socket) -> int:
    settings = assignment.configuration.settings
    serving.start_logging(settings, worker=assignment.number)
    shared_counters = SharedCounters(assignment.shared_counters, assignment.number - 1, settings.workers)
    listener = socket.socket(fileno=assignment.listener)

    dead_instances = asyncio.Queue[str]()
    with loading():
        from app.main import create_app  # noqa: PLC0415 - loads the whole gateway
    try:
        gateway = create_app(
            assignment.configuration,
            shared_counters=shared_counters,
            instance=assignment.instance,
            dead_instances=dead_instances,
        )
    except GatewayError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201 - as the terminal's door would
        return 1
    on_ready = partial(_tell_ready, line, dead_instances)
    seconds = settings.shutdown_seconds
    serving.bound_buffers(listener, settings.socket_buffer_bytes)
    bounds = serving.bounds_of(settings)
    signals = (signal.SIGTERM,)
    return serving.run(gateway, listener, shutdown_seconds=seconds, on_ready=on_ready, signals=signals, bounds=bounds)


def _tell_ready(line: socket.socket, dead_instances: "asyncio.Queue[str]", hooks: Hooks) -> None:
    loop, lines = asyncio.get_running_loop(), Lines()

    def listen() -> None:
        received = line.recv(65_536)
        if not received:
            loop.remove_reader(line)
            signal.raise_signal(signal.SIGTERM)
        for said in lines.whole(received):
            match decode(said):
                case str() as instance:
                    dead_instances.put_nowait(instance)
                case ConfigurationState(is_trial=True) as trial:
                    hooks.use(trial)
                case ConfigurationState() as state:
                    line.sendall(encode_using(_use(state, hooks)))

    def show_life() -> None:
        with suppress(OSError):  # the supervisor is gone, or reads nothing
            line.send(ALIVE, socket.MSG_DONTWAIT)
        loop.call_later(ALIVE_SECONDS, show_life)

    hooks.offer_reload(lambda is_trial: line.sendall(TRY if is_trial else RELOAD))
    loop.add_reader(line, listen)
    line.sendall(READY)
    loop.call_later(ALIVE_SECONDS, show_life)


def _use(state: ConfigurationState, hooks: Hooks) -> Using:
    try:
        return Using(state.number, hooks.use(state))
    except Exception:  # whatever it is, it goes on with what it has
        logger.exception("configuration_not_used")
        return Using(state.number, "")
