"""What malloc keeps, counted in page faults of a process of its own."""

import platform
import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource
{tuning}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def chunks():
    for _ in range(200):
        first, second = bytes(256_000), bytes(300_000)
        del first, second
chunks()
before = faults()
chunks()
print(faults() - before)
"""
TUNING = "from app.server.memory import keep_freed_memory; keep_freed_memory()"


def faults(tuning: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS.format(tuning=tuning)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc can be told")
def test_large_chunks_are_made_of_pages_that_are_there() -> None:
    assert faults(TUNING) < 2_000 < faults("")
