"""The gateway under the system calls that deploy/systemd allows it, without a systemd: `python -m tests.deploy.confined
serve` puts the filter on itself and becomes the gateway. For Linux on x86-64."""

import ctypes
import re
import resource
import struct
import subprocess
from pathlib import Path

from app.cli.main import run

UNIT = Path(__file__).parents[2] / "deploy/systemd/zenmux-gateway.service"
NUMBERS = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _PR_SET_MDWE = 38, 22, 65
_SECCOMP_MODE_FILTER = 2
_ALLOW, _EPERM = 0x7FFF0000, 0x00050001
_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def allowed() -> set[str]:
    """The names of the system calls that the unit's filters leave."""
    names: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE):
        found = set().union(*(_members(group) for group in line.lstrip("~").split()))
        names = names - found if line.startswith("~") else names | found
    return names


def _members(name: str) -> set[str]:
    if not name.startswith("@"):
        return {name}
    shown = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
    ).stdout
    inner = [line.strip() for line in shown.splitlines()[1:]]
    return set().union(*(_members(line) for line in inner if line and not line.startswith("#")))


def confine(names: set[str]) -> None:
    """From here on this process gets EPERM for every other call, and never memory that is writable and executable."""
    numbers = {name: int(number) for name, number in re.findall(r"__NR_(\w+) (\d+)", NUMBERS.read_text())}
    calls = sorted(numbers[name] for name in names & numbers.keys())
    steps = [struct.pack("HBBI", _LOAD, 0, 0, 0)]  # the number of the call
    for call in calls:
        steps += [struct.pack("HBBI", _EQUALS, 0, 1, call), struct.pack("HBBI", _RETURN, 0, 0, _ALLOW)]
    steps.append(struct.pack("HBBI", _RETURN, 0, 0, _EPERM))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_MDWE, 1, 0, 0, 0)  # Linux 6.3 and newer
    assert libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    program = _Filter(len(steps), b"".join(steps))
    assert libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program)) == 0


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # as LimitNOFILE does; afterwards it may not be changed
    confine(allowed())
    run()
