"""`serve` with several workers: starts them, replaces those that end, stops them together. Serves nothing itself.

Each worker is a new interpreter with its own listening socket on the one port, and a socket to this process. Over it
the worker gets its settings and reports that it is ready; each notices the end of the other.
"""

import logging
import os
import secrets
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from app.errors import ConfigurationError
from app.server import serving
from app.server.restarts import Restarts
from app.server.worker import Assignment, encode_assignment, encode_death, start
from app.settings.settings import Settings
from app.telemetry.shared_counters import SharedCounters, shared_memory

_START_SECONDS_MAX = 120.0
_SILENCE_SECONDS_MAX = 30.0  # a worker that is silent for so long is frozen; it reports every two seconds
_END_SECONDS_MAX = 10.0  # from closing the socket to the end of the process
_CLOSE_SECONDS = 45.0  # added to the time for running requests: for what a worker still writes afterwards

_log = logging.getLogger("gateway")


@dataclass(slots=True)
class _Place:
    """The slot of one worker after the other. Either a process runs, or the time of the next start is set."""

    number: int
    restarts: Restarts
    instance: str = ""  # the worker's name in the ledger
    process: "subprocess.Popen[bytes] | None" = None
    line: socket.socket | None = None
    listener: socket.socket | None = None
    started_at: float = 0.0
    ready_at: float | None = None
    heard_at: float = 0.0  # when it last reported
    due_at: float | None = None

    def close_listener(self) -> None:
        """Closes its listening socket, if it has one. May be called more than once."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None


class Supervisor:
    """The workers of one gateway on the address of `holder`, a bound socket. `on_ready` is called once, when all of
    them serve for the first time. `start` begins a worker's process, `new_restarts` makes the history of its slot.
    """

    def __init__(
        self,
        settings: Settings,
        holder: socket.socket,
        on_ready: Callable[[], None],
        *,
        start: Callable[[socket.socket, Assignment], "subprocess.Popen[bytes]"] = start,
        new_restarts: Callable[[], Restarts] = Restarts,
    ) -> None:
        self._start_process = start
        self._settings = settings
        self._holder = holder
        self._on_ready = on_ready
        self._memory = shared_memory(settings.workers)
        self._shared_counters = SharedCounters(self._memory, workers=settings.workers)
        self._places = [_Place(number, new_restarts()) for number in range(1, settings.workers + 1)]
        self._selector = selectors.DefaultSelector()
        self._dead_instances: list[str] = []  # of workers that died, as long as no other one can close what they left
        self._has_started = False
        self._stop_deadline: float | None = None
        self._failure: str | None = None
        self._code = 0

    def run(self) -> int:
        """Runs until SIGTERM or SIGINT; then running requests finish. Returns the exit code: 0, or 1 if a worker had to
        be killed. Raises ConfigurationError if the workers cannot start, or none can be kept running.
        """
        with self._listening_to_signals():
            try:
                for place in self._places:
                    self._start(place)
                while any(place.process or place.due_at is not None for place in self._places):
                    self._step()
            finally:
                self._kill_all()
                os.close(self._memory)
        if self._failure is not None:
            raise ConfigurationError(self._failure)
        return self._code

    @contextmanager
    def _listening_to_signals(self) -> Iterator[None]:
        """A signal's number arrives as a byte, so that no handler interrupts other code."""
        reader, writer = socket.socketpair()
        with reader, writer:
            writer.settimeout(0)  # set_wakeup_fd needs it: a signal handler must not wait
            self._selector.register(reader, selectors.EVENT_READ, None)
            wakeup = signal.set_wakeup_fd(writer.fileno())
            originals = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
            originals[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
            try:
                yield
            finally:
                for number, original in originals.items():
                    signal.signal(number, original)
                signal.set_wakeup_fd(wakeup)
                self._selector.close()

    def _step(self) -> None:
        for key, _ in self._selector.select(self._seconds_to_next_moment()):
            assert isinstance(key.fileobj, socket.socket)
            received = key.fileobj.recv(4096) if key.data is None else _receive(key.fileobj)
            if key.data is None:
                for number in received:
                    self._signalled(number)
            elif received:
                key.data.heard_at = time.monotonic()
                if key.data.ready_at is None:
                    self._ready(key.data)
            else:
                self._ended(key.data)
        now = time.monotonic()
        for place in self._places:
            if place.process and place.ready_at is None and now >= place.started_at + _START_SECONDS_MAX:
                _log.error("worker_start_too_long", extra={"worker": place.number, "pid": place.process.pid})
                place.process.kill()
            if self._is_frozen(place, now):
                assert place.process is not None
                _log.error("worker_frozen", extra={"worker": place.number, "pid": place.process.pid})
                place.close_listener()
                place.heard_at = now
                place.process.kill()  # its connections end with it; another worker takes its place
            if place.due_at is not None and now >= place.due_at:
                self._start(place)
        if self._stop_deadline is not None and now >= self._stop_deadline:
            _log.error("workers_killed", extra={"after_seconds": self._settings.shutdown_seconds + _CLOSE_SECONDS})
            self._code = 1
            self._kill_all()

    def _is_frozen(self, place: _Place, now: float) -> bool:
        is_serving = place.process is not None and place.ready_at is not None and self._stop_deadline is None
        return is_serving and now >= place.heard_at + _SILENCE_SECONDS_MAX

    def _seconds_to_next_moment(self) -> float | None:
        moments = [place.due_at for place in self._places if place.due_at is not None]
        moments += [
            place.started_at + _START_SECONDS_MAX
            for place in self._places
            if place.process is not None and place.ready_at is None
        ]
        if self._stop_deadline is None:
            moments += [place.heard_at + _SILENCE_SECONDS_MAX for place in self._places if place.ready_at is not None]
        else:
            moments.append(self._stop_deadline)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _start(self, place: _Place) -> None:
        """Starts the worker of a slot. Raises OSError if the port is no longer available."""
        place.due_at, place.ready_at, place.started_at = None, None, time.monotonic()
        place.instance = secrets.token_hex(8)
        place.listener = place.listener or serving.listen_beside(self._holder)
        assignment = Assignment(
            settings=self._settings,
            number=place.number,
            instance=place.instance,
            listener=place.listener.fileno(),
            shared_counters=self._memory,
        )
        place.line, theirs = socket.socketpair()
        with theirs:
            place.process = self._start_process(theirs, assignment)
        self._selector.register(place.line, selectors.EVENT_READ, place)
        with suppress(OSError):  # it died at once; the end of the socket reports it
            place.line.sendall(encode_assignment(assignment))

    def _ready(self, place: _Place) -> None:
        assert place.process is not None
        place.ready_at = time.monotonic()
        _log.info("worker_ready", extra={"worker": place.number, "pid": place.process.pid})
        self._report_dead_workers()
        if not self._has_started and all(other.ready_at is not None for other in self._places):
            self._has_started = True
            self._on_ready()

    def _ended(self, place: _Place) -> None:
        assert place.process is not None
        assert place.line is not None
        try:
            place.process.wait(_END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            place.process.kill()
        how = _how_it_ended(place.process.wait())
        fields = {"worker": place.number, "pid": place.process.pid, "how": how}
        self._selector.unregister(place.line)
        place.line.close()
        place.process = place.line = None
        self._shared_counters.clear_live(place.number - 1)
        if self._stop_deadline is not None:
            return
        lived_seconds = None if place.ready_at is None else time.monotonic() - place.ready_at
        place.ready_at = None
        self._dead_instances.append(place.instance)
        self._report_dead_workers()
        delay_seconds = place.restarts.delay_seconds(lived_seconds)
        _log.warning("worker_ended", extra={**fields, "restart_in_seconds": delay_seconds})
        if not self._has_started:
            self._give_up(f"Worker {place.number} did not start ({how}); what is said above tells why.")
        elif place.restarts.is_given_up and all(other.ready_at is None for other in self._places):
            self._give_up(f"No worker can be kept running; the last one ended with {how}.")
        else:
            place.due_at = time.monotonic() + delay_seconds
            if delay_seconds:  # meanwhile its share of new connections goes to the others
                place.close_listener()

    def _report_dead_workers(self) -> None:
        """To one worker that serves. If that one dies of it, too, the heartbeats tell in their time."""
        serving_line = next((place.line for place in self._places if place.line and place.ready_at is not None), None)
        if serving_line is not None:
            with suppress(OSError):
                serving_line.send(b"".join(map(encode_death, self._dead_instances)), socket.MSG_DONTWAIT)
            self._dead_instances.clear()

    def _signalled(self, number: int) -> None:
        if self._stop_deadline is None:
            self._stop()
        elif number == signal.SIGINT:  # Ctrl-C again: the person does not want to wait
            self._kill_all()

    def _give_up(self, failure: str) -> None:
        self._failure = failure
        self._stop()

    def _stop(self) -> None:
        """Closing the socket tells a worker to stop. One that does not serve yet has nothing to finish."""
        self._stop_deadline = time.monotonic() + self._settings.shutdown_seconds + _CLOSE_SECONDS
        self._holder.close()
        for place in self._places:
            place.due_at = None
            place.close_listener()
            if place.process is not None and place.line is not None:
                with suppress(OSError):
                    place.line.shutdown(socket.SHUT_WR)
                if place.ready_at is None:
                    place.process.terminate()

    def _kill_all(self) -> None:
        for place in self._places:
            place.due_at = None
            if place.process is not None:
                place.process.kill()


def _receive(line: socket.socket) -> bytes:
    try:
        return line.recv(4096)
    except ConnectionError:  # the worker died before it had read everything
        return b""


def _how_it_ended(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
