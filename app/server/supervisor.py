"""`serve` with several workers: starts them, replaces those that end, stops them together. Serves nothing itself.

Each worker is a new interpreter with its own listening socket on the one port, and a socket to this process. Over it
the worker gets its configuration, and each new one, and reports that it is ready; each notices the end of the other.
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

from app.configuration.configuration import ConfigurationState
from app.errors import ConfigurationError
from app.server import serving
from app.server.messages import RELOAD, TRY, Using, decode, encode_death
from app.server.place import WorkerPlace
from app.server.rereading import Read
from app.server.restarts import Restarts
from app.server.shared_configuration import SharedConfiguration
from app.server.worker import Assignment, encode_assignment, start
from app.telemetry.shared_counters import SharedCounters, shared_memory

_START_SECONDS_MAX = 120.0
_SILENCE_SECONDS_MAX = 30.0  # a worker that is silent for so long is frozen; it reports every two seconds
_END_SECONDS_MAX = 10.0  # from closing the socket to the end of the process
_CLOSE_SECONDS = 45.0  # added to the time for running requests: for what a worker still writes afterwards

_CONFIGURATION_READ = 0  # no signal has this number

_log = logging.getLogger("gateway")


class Supervisor:
    """The workers of one gateway on the address of `holder`, a bound socket. `on_ready` is called once, when all of
    them serve for the first time. SIGHUP calls `read`, in a thread. `start` begins a worker's process, `new_restarts`
    makes the history of its slot.
    """

    def __init__(
        self,
        running: ConfigurationState,
        read: Read,
        holder: socket.socket,
        on_ready: Callable[[], None],
        *,
        start: Callable[[socket.socket, Assignment], "subprocess.Popen[bytes]"] = start,
        new_restarts: Callable[[], Restarts] = Restarts,
    ) -> None:
        self._start_process = start
        self._settings = settings = running.configuration.settings  # only what no reload changes is read from them
        self._waker: socket.socket | None = None  # what is sent here ends the waiting of `_step`
        self._holder = holder
        self._on_ready = on_ready
        self._memory = shared_memory(settings.workers)
        self._shared_counters = SharedCounters(self._memory, workers=settings.workers)
        self._places = [WorkerPlace(number, new_restarts()) for number in range(1, settings.workers + 1)]
        self._configuration = SharedConfiguration(running, read, self._places, self._wake)
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
            self._waker = writer
            numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            originals = {number: signal.signal(number, lambda *_: None) for number in numbers}
            try:
                yield
            finally:
                for number, original in originals.items():
                    signal.signal(number, original)
                signal.set_wakeup_fd(wakeup)
                self._selector.close()

    def _step(self) -> None:
        self._wait()
        self._configuration.report()
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

    def _wait(self) -> None:
        """Until a worker, a signal or a moment comes."""
        for place in self._places:
            if place.line is not None:
                self._selector.modify(place.line, place.events, place)
        for key, events in self._selector.select(self._seconds_to_next_moment()):
            assert isinstance(key.fileobj, socket.socket)
            if key.data is None:
                for number in key.fileobj.recv(4096):
                    self._woken(number)
                continue
            if events & selectors.EVENT_WRITE:
                key.data.send_on()
            if events & selectors.EVENT_READ:
                self._hear(key.data)

    def _is_frozen(self, place: WorkerPlace, now: float) -> bool:
        return place.is_serving and self._stop_deadline is None and now >= place.heard_at + _SILENCE_SECONDS_MAX

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

    def _start(self, place: WorkerPlace) -> None:
        """Starts the worker of a slot. Raises OSError if the port is no longer available."""
        place.due_at, place.ready_at, place.started_at = None, None, time.monotonic()
        place.instance = secrets.token_hex(8)
        place.listener = place.listener or serving.listen_beside(self._holder)
        assignment = Assignment(
            configuration=self._configuration.state.configuration,
            number=place.number,
            instance=place.instance,
            listener=place.listener.fileno(),
            shared_counters=self._memory,
        )
        ours, theirs = socket.socketpair()
        with theirs:
            place.process = self._start_process(theirs, assignment)
        place.connect(ours)
        self._selector.register(ours, selectors.EVENT_READ, place)
        place.say(encode_assignment(assignment))

    def _hear(self, place: WorkerPlace) -> None:
        lines = place.hear()
        if lines is None:
            self._ended(place)
            return
        place.heard_at = time.monotonic()
        if lines and place.ready_at is None:
            self._ready(place)
        for line in lines:
            said = decode(line)
            if isinstance(said, Using):
                place.using = said
            elif (wish := line + b"\n") in (RELOAD, TRY):
                self._configuration.request(is_trial=wish == TRY)

    def _ready(self, place: WorkerPlace) -> None:
        assert place.process is not None
        place.ready_at = time.monotonic()
        self._configuration.greet(place)
        _log.info("worker_ready", extra={"worker": place.number, "pid": place.process.pid})
        self._report_dead_workers()
        if not self._has_started and all(other.ready_at is not None for other in self._places):
            self._has_started = True
            self._on_ready()

    def _ended(self, place: WorkerPlace) -> None:
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
        serving_place = next((place for place in self._places if place.is_serving), None)
        if serving_place is not None:
            serving_place.say(b"".join(map(encode_death, self._dead_instances)))
            self._dead_instances.clear()

    def _wake(self) -> None:
        """From another thread."""
        assert self._waker is not None
        with suppress(OSError):  # it is full, and will be read; or the gateway has ended
            self._waker.send(bytes([_CONFIGURATION_READ]))

    def _woken(self, number: int) -> None:
        """By a signal, or by the thread that reads configurations."""
        if number == _CONFIGURATION_READ:
            self._configuration.hand_out()
        elif number == signal.SIGHUP:
            self._configuration.request()
        elif self._stop_deadline is None:
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


def _how_it_ended(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
