"""Shared numbers: two boards on one memory in one process, and in processes that are killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from app.telemetry import shared_counters as shared_counters_module
from app.telemetry.shared_counters import LIVE, SharedCounters, shared_memory


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = shared_memory(2)
    yield descriptor
    os.close(descriptor)


def test_a_series_lies_at_the_same_place_in_every_worker(memory: int) -> None:
    first, second = SharedCounters(memory, 0, 2), SharedCounters(memory, 1, 2)
    places = [first.place("a", ("x",), 1), second.place("b", ("y", "z"), 20), first.place("c", (), 1)]
    assert len(set(places)) == 3
    for shared_counters in (first, second):
        assert [
            shared_counters.place("a", ("x",), 1),
            shared_counters.place("b", ("y", "z"), 20),
            shared_counters.place("c", (), 1),
        ] == places


def test_totals_are_over_all_workers_also_of_series_one_has_never_had(memory: int) -> None:
    first, second = SharedCounters(memory, 0, 2), SharedCounters(memory, 1, 2)
    at = first.place("a", ("x",), 1)
    first.cells[at] += 2
    assert second.series("a") == [(("x",), at)]
    assert second.total(at) == 2
    second.cells[second.place("a", ("x",), 1)] += 3
    assert first.total(at) == second.total(at) == 5


def test_labels_may_hold_anything(memory: int) -> None:
    labels = ('line\nbreak "quoted" \\ ü', "")
    SharedCounters(memory, 0, 2).place("a", labels, 1)
    assert [found for found, _ in SharedCounters(memory, 1, 2).series("a")] == [labels]


def test_a_successor_counts_on_from_where_the_dead_one_was(memory: int) -> None:
    program = (
        "import os, sys; from app.telemetry.shared_counters import SharedCounters\n"
        f"shared = SharedCounters({memory}, 0, 2); shared.cells[shared.place('a', ('x',), 1)] += 7\n"
        "os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", program], pass_fds=[memory], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    successor = SharedCounters(memory, 0, 2)
    at = successor.place("a", ("x",), 1)
    successor.cells[at] += 1
    assert SharedCounters(memory, 1, 2).total(at) == 8


def test_a_name_that_was_cut_off_by_a_kill_is_written_over(memory: int) -> None:
    first, second = SharedCounters(memory, 0, 2), SharedCounters(memory, 1, 2)
    first.place("a", ("x",), 1)
    os.pwrite(memory, b'["half a li', os.fstat(memory).st_size)
    at = second.place("b", ("y",), 1)
    assert first.series("b") == [(("y",), at)]
    assert first.series("a") == second.series("a")


def test_the_lock_of_a_process_that_died_holding_it_is_free(memory: int) -> None:
    program = f"import fcntl, os; fcntl.lockf({memory}, fcntl.LOCK_EX); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", program], pass_fds=[memory], check=False, timeout=60)
    assert SharedCounters(memory, 0, 2).place("a", (), 1) >= 0


def test_names_are_admitted_up_to_a_number_over_all_workers(memory: int) -> None:
    first, second = SharedCounters(memory, 0, 2), SharedCounters(memory, 1, 2)
    assert [first.admit("users", name, 2) for name in ("alice", "bob")] == [True, True]
    assert [second.admit("users", name, 2) for name in ("carol", "bob", "alice")] == [False, True, True]
    assert not first.admit("users", "dora", 2)
    assert not SharedCounters().admit("users", "alice", 0)


def test_what_lives_with_its_worker_ends_with_it(memory: int) -> None:
    first, second = SharedCounters(memory, 0, 2), SharedCounters(memory, 1, 2)
    live, stays = (first.place(family, (), 1) for family in (f"{LIVE}a", "a"))
    for at in (live, stays):
        first.cells[at], second.cells[at] = 3, 4
    SharedCounters(memory, workers=2).clear_live(0)
    assert (second.total(live), second.total(stays)) == (4, 7)


def test_series_that_find_no_room_are_told_once_and_spoil_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared_counters_module, "_SPARE", 6)
    shared_counters = SharedCounters()
    kept = shared_counters.place("a", ("fits",), 4)
    for name in ("no room", "neither"):
        at = shared_counters.place("a", (name,), 4)
        shared_counters.cells[at] += 1
    assert shared_counters.series("a") == [(("fits",), kept)]
    assert shared_counters.total(kept) == 0
    assert [record.getMessage() for record in caplog.records] == ["metrics_full"]
