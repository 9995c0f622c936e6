"""A forked command is as one that was started: its environment, folder, outputs, signals and exit code are its own."""

import gc
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from tests.forking import Program, fork_server, run_command
from tests.servers import wait_until


def sandbox(folder: Path, outputs: tuple[int, int]) -> Program:
    return Program(
        "app", ("sandbox", "--port", "0"), {"PATH": os.environ["PATH"]}, folder, outputs, in_own_session=True
    )


def test_outputs_and_exit_code_are_its_own() -> None:
    done = run_command(("--version",), {})
    assert (done.returncode, done.stderr) == (0, "")
    assert "zenmux-gateway" in done.stdout
    refused = run_command(("users", "list"), {"GATEWAY_DATABASE_URL": "nonsense"})
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "database URL cannot be read" in refused.stderr
    assert "GATEWAY_DATABASE_URL" not in os.environ


def test_it_is_killed_and_has_no_other_descriptors(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        outputs = (log.fileno(), log.fileno())
        first = fork_server().start(sandbox(tmp_path, outputs))
        second = fork_server().start(sandbox(tmp_path, outputs))
    log_path = tmp_path / "log"
    try:
        wait_until(lambda: log_path.read_text().count("http://") >= 2, "both listen")
        assert psutil.Process(second.pid).cwd() == str(tmp_path)
        assert os.getsid(second.pid) == second.pid
        assert {file.path for file in psutil.Process(second.pid).open_files()} == {str(log_path)}
    finally:
        first.kill()
        second.terminate()
    assert first.wait(20) == -signal.SIGKILL
    assert second.wait(20) in (0, -signal.SIGTERM)
    assert (first.poll(), second.returncode) == (-signal.SIGKILL, second.poll())


def test_several_threads_may_ask() -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: run_command(("--version",), {}), range(16)))
    assert {each.returncode for each in done} == {0}
    assert len({each.stdout for each in done}) == 1


def test_its_descriptor_is_closed_with_it_even_in_a_circle(tmp_path: Path) -> None:
    server = fork_server()
    before = psutil.Process().num_fds()
    for _ in range(8):
        with (tmp_path / "log").open("wb") as log:
            process = server.start(sandbox(tmp_path, (log.fileno(), log.fileno())))
        process.kill()
        process.wait(20)
        circle: list[object] = [process]
        circle.append(circle)
    del process, circle
    gc.collect()  # a socket that nobody closed would be a warning here, and so a failure
    assert psutil.Process().num_fds() <= before
