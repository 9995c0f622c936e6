import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.quotas.ledger.commands import Resolve
from app.quotas.ledger.spool.file import Kept, Spool
from app.quotas.ledger.spool.format import spool_line
from tests.quotas.making import settled

ROOT = Path(__file__).parents[4]
LINE_BYTES = len(spool_line(Resolve("r0", settled())))


def some(*ids: str) -> list[Resolve]:
    return [Resolve(id_, settled()) for id_ in ids]


def names(kept: list[Kept]) -> list[str]:
    return [each.resolution.reservation_id for each in kept]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "spool"


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    spool = Spool(folder, "one", 100_000)
    yield spool
    spool.close()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def disk_full_beyond(size_bytes: int) -> Iterator[None]:
    """No file of this process can grow beyond that (SIGXFSZ is ignored by Python: it is an OSError)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_kept_is_found_by_the_next_process(spool: Spool, folder: Path) -> None:
    assert names(spool.keep(some("r1", "r2"))) == ["r1", "r2"]
    assert names(spool.keep(some("r3"))) == ["r3"]
    spool.close()
    taken = Spool(folder, "two", 100_000).take_over()
    assert [each.resolution for each in taken] == some("r1", "r2", "r3")


def test_nobody_else_can_read_it(spool: Spool, folder: Path) -> None:
    spool.keep(some("r1"))
    [path] = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_file_goes_with_the_last_of_it(spool: Spool, folder: Path) -> None:
    kept = spool.keep(some("r1", "r2"))
    spool.forget(kept[0])
    assert files(folder) == ["one-1.jsonl"]
    spool.forget(kept[1])
    assert files(folder) == []
    spool.keep(some("r3"))
    assert files(folder) == ["one-2.jsonl"]


def test_files_of_living_processes_are_let_be(spool: Spool, folder: Path) -> None:
    spool.keep(some("r1"))
    other = Spool(folder, "two", 100_000)
    assert other.take_over() == []
    assert spool.take_over() == []
    script = (
        "from pathlib import Path; from app.quotas.ledger.spool.file import Spool; "
        f"print(Spool(Path({str(folder)!r}), 'two', 9).take_over())"
    )
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
    assert files(folder) == ["one-1.jsonl"]


def test_what_is_taken_over_belongs_to_one(spool: Spool, folder: Path) -> None:
    spool.keep(some("r1", "r2"))
    spool.close()
    second, third = Spool(folder, "two", 100_000), Spool(folder, "three", 100_000)
    taken = second.take_over()
    assert (names(taken), third.take_over()) == (["r1", "r2"], [])
    second.forget(taken[0])
    second.close()
    again = third.take_over()
    assert names(again) == ["r1", "r2"]  # append-only: what is written twice changes nothing
    for each in again:
        third.forget(each)
    assert files(folder) == []


def test_many_who_take_over_at_once_share_without_overlap(spool: Spool, folder: Path) -> None:
    for number in range(20):
        dead = Spool(folder, f"dead{number}", 100_000)
        dead.keep(some(f"r{number}"))
        dead.close()
    start = threading.Barrier(4)
    taken: list[str] = []

    def take(name: str) -> None:
        start.wait(30)
        taken.extend(names(Spool(folder, name, 100_000).take_over()))

    threads = [threading.Thread(target=take, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(taken) == sorted(f"r{number}" for number in range(20))


def test_it_is_bounded(folder: Path) -> None:
    spool = Spool(folder, "one", 3 * LINE_BYTES)
    kept = spool.keep(some("r1", "r2"))
    kept += spool.keep(some("r3", "r4"))
    assert names(kept) == ["r1", "r2", "r3"]
    assert spool.keep(some("r4")) == []
    spool.forget(kept[0])
    kept += spool.keep(some("r4"))  # in a new file, without what is written
    assert files(folder) == ["one-2.jsonl"]
    assert (folder / "one-2.jsonl").stat().st_size == 3 * LINE_BYTES
    assert spool.keep(some("r5")) == []
    for each in kept[1:]:
        spool.forget(each)
    assert files(folder) == []
    spool.close()


def test_none_of_it_where_there_is_no_room_at_all(folder: Path) -> None:
    spool = Spool(folder, "one", 0)
    assert spool.keep(some("r1")) == []
    assert not folder.exists()


def test_a_full_disk_keeps_all_or_nothing(spool: Spool, folder: Path) -> None:
    kept = spool.keep(some("r1"))
    with disk_full_beyond(LINE_BYTES + 50), pytest.raises(OSError, match="too large"):
        spool.keep(some("r2", "r3"))
    [path] = folder.iterdir()
    assert path.read_bytes() == spool_line(Resolve("r1", settled()))
    kept += spool.keep(some("r3"))
    assert path.read_bytes() == spool_line(Resolve("r1", settled())) + spool_line(Resolve("r3", settled()))


def test_a_full_disk_while_old_lines_are_dropped_keeps_the_old_file(folder: Path) -> None:
    spool = Spool(folder, "one", 3 * LINE_BYTES)
    kept = spool.keep(some("r1", "r2", "r3"))
    spool.forget(kept[0])
    with disk_full_beyond(LINE_BYTES), pytest.raises(OSError, match="too large"):
        spool.keep(some("r4"))
    assert files(folder) == ["one-1.jsonl"]
    kept += spool.keep(some("r4"))
    assert names(kept) == ["r1", "r2", "r3", "r4"]
    assert files(folder) == ["one-3.jsonl"]
    spool.close()


def test_a_torn_last_line_costs_itself_only(spool: Spool, folder: Path) -> None:
    spool.keep(some("r1", "r2"))
    spool.close()
    [path] = folder.iterdir()
    os.truncate(path, 2 * LINE_BYTES - 7)
    next_ = Spool(folder, "two", 100_000)
    taken = next_.take_over()
    assert names(taken) == ["r1"]
    next_.forget(taken[0])
    assert files(folder) == []


def test_a_file_with_something_unreadable_is_used_and_stays(
    spool: Spool, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool.keep(some("r1", "r2", "r3"))
    spool.close()
    [path] = folder.iterdir()
    data = bytearray(path.read_bytes())
    data[LINE_BYTES + 40] ^= 1
    path.write_bytes(data)
    next_ = Spool(folder, "two", 100_000)
    taken = next_.take_over()
    assert names(taken) == ["r1", "r3"]
    assert [(record.message, record.levelname) for record in caplog.records] == [("spool_taken_over", "ERROR")]
    for each in taken:
        next_.forget(each)
    assert path.read_bytes() == data
    assert next_.take_over() == []  # not again and again
    next_.close()


def test_what_no_database_knows_stays_too(spool: Spool, folder: Path) -> None:
    kept = spool.keep(some("r1", "r2"))
    spool.forget(kept[0], settled=False)
    spool.forget(kept[1])
    assert files(folder) == ["one-1.jsonl"]
    spool.keep(some("r3"))
    assert files(folder) == ["one-1.jsonl", "one-2.jsonl"]
    spool.close()
    assert names(Spool(folder, "two", 100_000).take_over()) == ["r1", "r2", "r3"]


def test_an_empty_file_of_a_process_that_died_at_once_goes(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "dead-1.jsonl").touch()
    (folder / "notes.txt").touch()
    assert Spool(folder, "two", 100_000).take_over() == []
    assert files(folder) == ["notes.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_a_folder_that_cannot_be_written_is_told(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o500)
    with pytest.raises(OSError, match="cannot be written"):
        Spool(folder, "one", 100_000).prepare()


def test_a_place_that_is_no_folder_is_told(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.touch()
    spool = Spool(folder, "one", 100_000)
    with pytest.raises(OSError, match="exists"):
        spool.prepare()
    with pytest.raises(OSError, match="exists"):
        spool.keep(some("r1"))
    assert spool.take_over() == []


def test_a_file_that_cannot_be_opened_is_told_and_let_be(
    spool: Spool, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir(parents=True)
    (folder / "trap-1.jsonl").symlink_to("/etc/passwd")
    assert spool.take_over() == []
    assert [record.message for record in caplog.records] == ["spool_file_not_read"]
    assert files(folder) == ["trap-1.jsonl"]


def test_closing_twice_is_closing_once(spool: Spool) -> None:
    spool.keep(some("r1"))
    spool.close()
    spool.close()
