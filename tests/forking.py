"""`python -m MODULE …` without the second that loading the app takes: a server that has loaded it forks, and the child
runs the module with its own arguments, environment, folder, outputs and session. Linux only.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

_ROOT = Path(__file__).parent.parent
_PRELOADED = ("app.main", "app.cli.commands.serve", "app.cli.commands.dev", "uvloop", "httptools")
_REQUEST_BYTES_MAX = 1_048_576


@dataclass(frozen=True)
class Program:
    """What is run: `outputs` are the descriptors of stdout and stderr."""

    module: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    folder: Path
    outputs: tuple[int, int]
    in_own_session: bool = False


class ForkedProcess:
    """What `subprocess.Popen` offers of a process that somebody else has to wait for."""

    def __init__(self, pid: int, line: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._descriptor = line.detach()  # it brings the exit code
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._descriptor, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            with self._lock:  # several threads may wait
                if self.returncode is None:
                    self.returncode = int(os.read(self._descriptor, 16))
        return self.returncode

    def __del__(self) -> None:
        os.close(self._descriptor)  # not before: another thread may wait for it

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """One for each test process, which it ends with."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            command = [sys.executable, "-m", "tests.forking", str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, cwd=_ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )
        atexit.register(self._stop)

    def start(self, program: Program) -> ForkedProcess:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {
            "module": program.module,
            "arguments": program.arguments,
            "environment": program.environment,
            "folder": str(program.folder),
            "in_own_session": program.in_own_session,
        }
        with theirs, self._lock:
            socket.send_fds(self._line, [json.dumps(request).encode()], [*program.outputs, theirs.fileno()])
            return ForkedProcess(int(self._line.recv(16)), ours)

    def _stop(self) -> None:
        self._line.close()
        self._process.wait()


@cache
def fork_server() -> ForkServer:
    return ForkServer()


def run_command(arguments: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`zenmux-gateway …` from this folder's top, until it ends."""
    with TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
        outputs = (stdout.fileno(), stderr.fileno())
        process = fork_server().start(Program("app", tuple(arguments), environment, _ROOT, outputs))
        try:
            code = process.wait(60)
        finally:
            process.kill()
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(arguments, code, stdout.read(), stderr.read())


def _serve(line: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Forks for each request, and tells who started a process how it ended. Returns in the children alone."""
    selector = selectors.DefaultSelector()
    selector.register(line, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is line:
                text, descriptors, _, _ = socket.recv_fds(line, _REQUEST_BYTES_MAX, 3)
                if not text:
                    sys.exit()
                pid = os.fork()
                if pid == 0:
                    selector.close()
                    line.close()
                    return json.loads(text), descriptors
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, socket.socket(fileno=descriptors[2])))
                for descriptor in descriptors[:2]:
                    os.close(descriptor)
                line.send(str(pid).encode())
            else:
                pid, starter = key.data
                _, status = os.waitpid(pid, 0)
                selector.unregister(key.fd)
                os.close(key.fd)
                with starter:
                    starter.send(str(os.waitstatus_to_exitcode(status)).encode(), socket.MSG_NOSIGNAL)


def _run(request: dict[str, Any], descriptors: list[int]) -> None:
    """As if Python had been started for it."""
    for number, descriptor in enumerate(descriptors[:2], start=1):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    if request["in_own_session"]:
        os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = ["", *request["arguments"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for name in _PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # a child's collector does not touch what was loaded, so that its pages stay shared
    _run(*_serve(socket.socket(fileno=int(sys.argv[1]))))
