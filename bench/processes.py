"""Processes and the machine as /proc tells of them: pinned starts, CPU and memory of a tree, who else is at work."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_STOP_SECONDS = 15


class BenchError(Exception):
    """Something the benchmark needs is not there; the message says what to do."""


@dataclass(frozen=True)
class Cores:
    """Where things run: the contender alone on one core, upstream and load together on another."""

    contender: int
    rig: int


def choose_cores(allowed: Sequence[int]) -> Cores:
    """The first two of the cores this process may use. Raises BenchError when there is only one."""
    if len(allowed) < 2:
        raise BenchError("The benchmark needs two cores: one for the contender, one for upstream and load.")
    return Cores(allowed[0], allowed[1])


def allow_open_files(count: int) -> None:
    """For this process and all it starts, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def pinned(core: int, arguments: Sequence[object]) -> list[str]:
    """The command line that runs `arguments` on that core and no other, and lets them end when this process does."""
    taskset = shutil.which("taskset")
    if taskset is None:
        raise BenchError("The benchmark needs the taskset command (Debian: apt-get install util-linux).")
    setpriv = shutil.which("setpriv")
    ending = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
    return [taskset, "--cpu-list", str(core), *ending, *map(str, arguments)]


def start(
    arguments: Sequence[object],
    *,
    core: int,
    log: Path,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """A process pinned to `core`, in `folder`, with all it prints in `log`, in a session of its own."""
    with log.open("ab") as out:
        return subprocess.Popen(  # noqa: S603 - our own arguments
            pinned(core, arguments),
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=None if environment is None else dict(environment),
            cwd=folder,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL for what is left of the tree."""
    left = tree(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    for member in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGKILL)
    process.wait()


def tree(pid: int) -> list[psutil.Process]:
    """The process and all that descends from it."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """User and system time so far, with that of children that have ended."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def rss_bytes(processes: Sequence[psutil.Process]) -> int:
    """Resident memory now; pages that several processes share count for each."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def peak_rss_bytes(processes: Sequence[psutil.Process]) -> int:
    """The sum of each process's peak since `forget_peak_rss`."""
    total = 0
    for process in processes:
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace")
            total += int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return total


def forget_peak_rss(processes: Sequence[psutil.Process]) -> None:
    """Let the peak begin anew from what is resident now."""
    for process in processes:
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/clear_refs").write_text("5", encoding="ascii")


def kernel_tcp_bytes() -> int:
    """What the kernel holds in the buffers of all TCP sockets of this machine."""
    for line in Path("/proc/net/sockstat").read_text(encoding="ascii").splitlines():
        if line.startswith("TCP:"):
            return int(line.split()[-1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


@dataclass(frozen=True)
class Busy:
    """CPU seconds of all cores so far: at work for any process, and taken away by the machine's host."""

    work: float
    stolen: float


def machine_busy() -> Busy:
    times = psutil.cpu_times()
    return Busy(times.user + times.nice + times.system, times.steal)
