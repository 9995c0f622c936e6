"""The supervisor with workers of a few lines: who is started again, when it gives up, how it stops. The gateway's own
workers are in tests/e2e/test_workers.py."""

import logging
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.configuration.configuration import Configuration, ConfigurationState
from app.configuration.reading import Reread, check
from app.errors import ConfigurationError
from app.server import serving
from app.server.rereading import Read
from app.server.restarts import Restarts
from app.server.supervisor import Supervisor
from app.server.worker import Assignment
from app.settings.settings import Settings

HEAD = """
import os, pickle, signal, socket, sys, time
line, number, marks = socket.socket(fileno=int(sys.argv[1])), sys.argv[2], sys.argv[3]
def lives():
    "How many workers this place had, with this one."
    with open(f"{marks}-{number}", "a+b") as file:
        file.write(b"x"); file.flush()
        return os.fstat(file.fileno()).st_size
def told(): return pickle.load(line.makefile("rb"))
def ready(): line.sendall(b"ready\\n")
def use(answer):
    "Hears of a configuration, and answers which one it uses."
    line.sendall(b"using %s\\n" % (answer if heard().split()[0] == b"configuration" else b"0 nothing"))
def heard():
    text = b""
    while not text.endswith(b"\\n"):
        text += line.recv(1)
    return text
def until_the_end():
    while line.recv(65536): pass
"""

Run = Callable[..., Supervisor]

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def nothing_new(running: Configuration, is_trial: bool) -> Reread:
    return Reread(running, NOON, ())


@pytest.fixture(autouse=True)
def _signals_as_they_were() -> Iterator[None]:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Run]:
    """Makes a supervisor of two workers that run this Python text."""
    with serving.bind("127.0.0.1", 0, "GATEWAY_PORT") as holder:

        def make(text: str, on_ready: Callable[[], None], read: Read = nothing_new) -> Supervisor:
            def start(line: socket.socket, assignment: Assignment) -> "subprocess.Popen[bytes]":
                program = HEAD + textwrap.dedent(text)
                arguments = [str(line.fileno()), str(assignment.number), str(tmp_path / "lives")]
                descriptors = (line.fileno(), assignment.listener)
                return subprocess.Popen([sys.executable, "-c", program, *arguments], pass_fds=descriptors)

            settings = Settings(_env_file=None, workers=2, shutdown_seconds=60)
            running = ConfigurationState(0, check(settings).configuration, NOON)
            return Supervisor(running, read, holder, on_ready, start=start, new_restarts=lambda: Restarts(0.01))

        yield make


def stop() -> None:
    signal.raise_signal(signal.SIGTERM)


def test_it_tells_once_when_all_are_ready_and_stops_all(supervisor: Run) -> None:
    told: list[bool] = []

    def on_ready() -> None:
        told.append(True)
        stop()

    assert supervisor("ready(); until_the_end()", on_ready).run() == 0
    assert told == [True]


def test_one_that_cannot_start_ends_all_with_the_reason(supervisor: Run, tmp_path: Path) -> None:
    running = supervisor("lives(); sys.exit(3) if number == '2' else until_the_end()", lambda: None)
    with pytest.raises(ConfigurationError, match=r"Worker 2 did not start \(exit code 3\)"):
        running.run()
    assert (tmp_path / "lives-2").stat().st_size == 1


def test_one_that_dies_is_started_again_and_the_port_stays(
    supervisor: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    second_life = """
        life = lives()
        ready()
        if life == 2:
            os.kill(os.getppid(), signal.SIGTERM)
        until_the_end()
        """

    def end_the_first() -> None:
        process = running._places[0].process
        assert process is not None
        process.kill()

    running: Supervisor = supervisor(second_life, end_the_first)
    assert running.run() == 0
    assert [(tmp_path / f"lives-{number}").stat().st_size for number in (1, 2)] == [2, 1]
    [ended] = [record for record in caplog.records if record.getMessage() == "worker_ended"]
    assert (ended.__dict__["worker"], ended.__dict__["how"]) == (1, "signal SIGKILL")


@pytest.mark.long("waits longer after each of seven tries")
def test_while_one_serves_the_other_is_tried_for_ever(supervisor: Run, tmp_path: Path) -> None:
    text = """
        life = lives()
        ready()
        if number == "1":
            if life == 8:
                os.kill(os.getppid(), signal.SIGTERM)
                until_the_end()
            told()
            time.sleep(0.05 if life == 1 else 0)
            sys.exit(1)
        until_the_end()
        """
    assert supervisor(text, lambda: None).run() == 0
    assert (tmp_path / "lives-1").stat().st_size == 8


def test_when_none_can_be_kept_running_it_gives_up(supervisor: Run, tmp_path: Path) -> None:
    """All of them end as soon as all have been ready once."""
    text = """
        if lives() > 1:
            sys.exit(4)
        ready()
        signal.pause()
        """

    def end_all() -> None:
        for place in running._places:
            assert place.process is not None
            place.process.terminate()

    running: Supervisor = supervisor(text, end_all)
    with pytest.raises(ConfigurationError, match="No worker can be kept running; the last one ended with exit code 4"):
        running.run()
    assert max((tmp_path / f"lives-{number}").stat().st_size for number in (1, 2)) == 5


def test_a_second_ctrl_c_does_not_wait(supervisor: Run) -> None:
    def on_ready() -> None:
        signal.raise_signal(signal.SIGINT)
        timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
        timer.start()

    assert supervisor("ready(); until_the_end(); time.sleep(600)", on_ready).run() == 0


def test_a_frozen_worker_is_killed_and_replaced(
    supervisor: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.server.supervisor._SILENCE_SECONDS_MAX", 1.0)
    text = """
        life = lives()
        ready()
        if number == "1" and life == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        if number == "1" and life == 2:
            os.kill(os.getppid(), signal.SIGTERM)
        line.settimeout(0.1)
        while True:
            try:
                if not line.recv(65536):
                    break
            except TimeoutError:
                line.sendall(b"\\n")
        """
    assert supervisor(text, lambda: None).run() == 0
    assert [(tmp_path / f"lives-{number}").stat().st_size for number in (1, 2)] == [2, 1]
    [frozen] = [record for record in caplog.records if record.getMessage() == "worker_frozen"]
    assert frozen.__dict__["worker"] == 1


def hang_up() -> None:
    signal.raise_signal(signal.SIGHUP)


@pytest.mark.parametrize(
    ("answers", "event", "shown"),
    [
        ({"1": "1 abc", "2": "1 abc"}, "configuration_in_use", {"hash": "abc", "workers": 2, "is_newest": True}),
        ({"1": "1 abc", "2": "1 xyz"}, "configuration_differs", {"hashes": ["abc", "xyz"]}),
        ({"1": "1 abc", "2": "1 "}, "configuration_differs", {"hashes": ["", "abc"]}),
    ],
)
def test_a_hangup_gives_all_workers_the_new_configuration_and_says_whether_they_agree(
    supervisor: Run, caplog: pytest.LogCaptureFixture, answers: dict[str, str], event: str, shown: dict[str, object]
) -> None:
    caplog.set_level(logging.INFO)
    text = f"""
        told()
        ready()
        use({answers}[number].encode())
        until_the_end()
        """
    running = supervisor(text, hang_up)
    reporting = running._configuration.report

    def report() -> None:
        reporting()
        if event in caplog.text:
            stop()

    running._configuration.report = report  # type: ignore[method-assign]
    assert running.run() == 0
    [said] = [
        record
        for record in caplog.records
        if record.getMessage().startswith("configuration_in_use") or event in record.getMessage()
    ]
    assert {name: said.__dict__[name] for name in shown} == shown


def test_a_worker_that_starts_after_a_failed_reading_is_told_of_it(
    supervisor: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It shows the same metrics as the others."""
    text = """
        life = lives()
        told()
        ready()
        if number == "1" and life == 1:
            heard()
            sys.exit(1)
        use(b"1 abc")
        if number == "1" and life == 2:
            os.kill(os.getppid(), signal.SIGTERM)
        until_the_end()
        """

    def refuse(_: Configuration, is_trial: bool) -> Reread:
        raise ConfigurationError("no such file")

    assert supervisor(text, hang_up, refuse).run() == 0
    assert (tmp_path / "lives-1").stat().st_size == 2
    [refused] = [record for record in caplog.records if record.getMessage() == "configuration_refused"]
    assert refused.__dict__["reason"] == "no such file"
