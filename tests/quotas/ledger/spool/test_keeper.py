"""The spool's keeper between a real writer, whose store fails when a test says so, and a real folder. Tests call `look`
themselves: a thread that also looks changes nothing but the moment."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from app.database.engine import reading
from app.database.schema import ledger_tables
from app.errors import StoreUnavailable
from app.quotas.ledger.commands import Command, Expire, Reserve, Resolve, Ticket, withdrawal
from app.quotas.ledger.spool.file import Spool
from app.quotas.ledger.spool.keeper import _WAIT_LOOKS, SpoolKeeper
from app.quotas.ledger.writer import Writer
from app.quotas.rules.reservation import Resolution
from tests.quotas.faults import Trouble, install
from tests.quotas.making import NOON, a_hold, errors, on_team, released, rows, set_limits, settled, states
from tests.servers import wait_until


class Process:
    """A writer and a spool keeper of one instance, and what they told."""

    def __init__(self, engine: Engine, folder: Path, name: str, bytes_max: int) -> None:
        self.writer = Writer(engine, instance=name, queue_max=100, deliver=lambda _: self.delivered.set())
        self.delivered = threading.Event()
        self.told: list[Ticket] = []
        self.shown: list[tuple[int, int]] = []
        self.spool_keeper = SpoolKeeper(Spool(folder, name, bytes_max), self.writer, self._tell, self._show)
        self.writer.start()

    def _tell(self, tickets: Sequence[Ticket]) -> None:
        self.told += tickets

    def _show(self, on_disk: int, in_memory_only: int) -> None:
        self.shown.append((on_disk, in_memory_only))

    def submit(self, *commands: Command) -> list[Ticket]:
        tickets = [Ticket(command) for command in commands]
        for ticket in tickets:
            self.writer.submit(ticket)
        return tickets

    def do(self, *commands: Command) -> list[object]:
        tickets = self.submit(*commands)
        wait_until(lambda: all(ticket.outcome is not None for ticket in tickets), "the commands were carried out")
        return [ticket.outcome for ticket in tickets]

    def quiet(self) -> None:
        """Whatever was submitted before has its outcome."""
        assert self.do(Resolve("nobody", released())) == [Resolution.UNKNOWN]
        self.spool_keeper.look()

    def die(self) -> None:
        """As by kill -9: the kernel lets go of its files, nothing else happens."""
        self.spool_keeper._spool.close()
        self.writer._give_up.set()

    def close(self) -> None:
        self.spool_keeper.close([ticket for ticket in self.writer.close(0) if isinstance(ticket.command, Resolve)])


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> Trouble:
    return install(monkeypatch, engine.dialect.loaded_dbapi)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def start(engine: Engine, trouble: Trouble, folder: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(name: str = "one", bytes_max: int = 100_000) -> Process:
        started.append(Process(engine, folder, name, bytes_max))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def process(start: Callable[..., Process]) -> Process:
    return start()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


def go_away(process: Process, trouble: Trouble) -> None:
    trouble.fail("begin", 10**9)
    process.submit(Resolve("nobody", released()))
    wait_until(lambda: process.writer.is_store_away, "the store was found away")


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "app.quotas.ledger.spool.keeper"]


def test_while_the_store_is_well_nothing_touches_the_disk(process: Process, folder: Path) -> None:
    process.do(*(Reserve(a_hold(f"r{number}")) for number in range(20)))
    tickets = process.submit(*(Resolve(f"r{number}", settled()) for number in range(20)))
    process.spool_keeper.look()
    wait_until(lambda: all(ticket.outcome is Resolution.DONE for ticket in tickets), "they were settled")
    process.spool_keeper.look()
    assert (process.told, process.spool_keeper.on_disk, files(folder)) == ([], 0, [])


def test_while_the_store_is_away_resolutions_are_kept_and_told_once(
    process: Process, trouble: Trouble, engine: Engine, folder: Path
) -> None:
    set_limits(engine, on_team("images:9/day"))
    process.do(Reserve(a_hold("r1")), Reserve(a_hold("r2")))
    go_away(process, trouble)
    tickets = process.submit(Resolve("r1", settled()), Resolve("r2", released()))
    process.spool_keeper.look()
    process.spool_keeper.look()
    assert process.told[-2:] == tickets
    assert (len(process.told), process.spool_keeper.on_disk, process.spool_keeper.in_memory_only) == (3, 3, 0)
    assert files(folder) == ["one-1.jsonl"]
    trouble.fail("begin", 0)
    process.quiet()
    assert states(engine) == {"r1": "settled", "r2": "released"}
    assert (process.spool_keeper.on_disk, files(folder)) == (0, [])
    assert errors(engine) == []


def test_a_store_that_hangs_is_given_a_while_then_the_disk_keeps(
    process: Process, trouble: Trouble, engine: Engine, folder: Path
) -> None:
    process.do(Reserve(a_hold("r1")), Reserve(a_hold("r2")))
    trouble.hold_back()
    [being_written] = process.submit(Resolve("r1", settled()))
    assert trouble.began.wait(30)
    [waiting] = process.submit(Resolve("r2", settled()))
    for _ in range(_WAIT_LOOKS):
        process.spool_keeper.look()
    assert (process.told, files(folder)) == ([], [])
    process.spool_keeper.look()
    assert process.told == [being_written, waiting]
    trouble.may_begin.set()
    process.quiet()
    assert states(engine) == {"r1": "settled", "r2": "settled"}
    assert files(folder) == []


@pytest.mark.parametrize("where", ["begin", "commit", "answer"])
def test_what_a_killed_process_kept_is_written_by_the_next_before_it_expires(
    start: Callable[..., Process], trouble: Trouble, engine: Engine, folder: Path, where: str
) -> None:
    set_limits(engine, on_team("images:9/day"))
    first = start("first")
    first.do(Reserve(a_hold("r1", images=2)), Reserve(a_hold("r2")))
    trouble.fail(where, 10**9)
    first.submit(Resolve("r1", settled(images=1)))
    wait_until(lambda: first.writer.is_store_away, "the store was found away")
    first.spool_keeper.look()
    assert first.spool_keeper.on_disk == 1
    first.die()
    trouble.fail(where, 0)

    second = start("second")
    second.spool_keeper.take_over()
    assert second.do(Expire("r1", NOON), Expire("r2", NOON)) == [Resolution.ALREADY_RESOLVED, Resolution.DONE]
    second.spool_keeper.look()
    found = rows(engine)
    assert (found["r1"]["state"], found["r1"]["charged_images"], found["r2"]["state"]) == ("settled", 1, "expired")
    assert files(folder) == []
    assert errors(engine) == []


def test_a_line_that_is_written_again_changes_nothing(
    start: Callable[..., Process], engine: Engine, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_limits(engine, on_team("images:9/day"))
    for name in ("dead1", "dead2"):
        dead = Spool(folder, name, 100_000)
        dead.keep([Resolve("r1", settled())] * 2)
        dead.close()
    process = start()
    process.do(Reserve(a_hold("r1")))
    process.spool_keeper.take_over()
    process.quiet()
    before = rows(engine)
    dead = Spool(folder, "dead3", 100_000)
    dead.keep([Resolve("r1", settled())])
    dead.close()
    process.spool_keeper.take_over()
    process.quiet()
    assert rows(engine) == before
    assert files(folder) == []
    assert errors(engine) == []
    assert "spooled_settlement_not_written" not in logged(caplog)


def test_one_that_comes_after_an_expiry_is_a_correction(process: Process, engine: Engine, folder: Path) -> None:
    process.do(Reserve(a_hold("r1")), Expire("r1", NOON))
    dead = Spool(folder, "dead", 100_000)
    dead.keep([Resolve("r1", settled())])
    dead.close()
    process.spool_keeper.take_over()
    process.quiet()
    assert files(folder) == []
    assert states(engine) == {"r1": "expired"}
    with reading(engine) as connection:
        assert connection.execute(select(ledger_tables.corrections.c.charged_nanousd)).scalars().all() == [80_000_000]


def test_one_of_what_has_ended_otherwise_is_told_with_its_amounts_and_goes(
    process: Process, trouble: Trouble, engine: Engine, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process.do(Reserve(a_hold("r1")))
    process.do(Resolve("r1", released()))
    dead = Spool(folder, "dead", 100_000)
    dead.keep([Resolve("r1", settled(images=1, tokens=800, nanousd=80_000_000))])
    dead.close()
    before = rows(engine)
    process.spool_keeper.take_over()
    process.quiet()
    assert rows(engine) == before
    assert files(folder) == []
    [record] = [record for record in caplog.records if record.getMessage() == "spooled_settlement_not_written"]
    told = {name: record.__dict__[name] for name in ("request_id", "resolution", "outcome", "usage_source")}
    assert told == {
        "request_id": "r1",
        "resolution": "already_resolved",
        "outcome": "completed",
        "usage_source": "reported",
    }
    assert (record.__dict__["charged_images"], record.__dict__["charged_nanousd"]) == (1, 80_000_000)


def test_one_of_another_database_is_told_and_stays(
    process: Process, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dead = Spool(folder, "dead", 100_000)
    dead.keep([Resolve("elsewhere", settled()), withdrawal(a_hold("never taken"), NOON)])
    dead.close()
    process.spool_keeper.take_over()
    process.quiet()
    assert logged(caplog).count("spooled_settlement_not_written") == 1
    assert files(folder) == ["dead-1.jsonl"]
    assert process.spool_keeper.on_disk == 0


def test_one_that_cannot_be_carried_out_stays_too(
    process: Process, engine: Engine, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process.do(Reserve(a_hold("r1")), Reserve(a_hold("r2")))
    dead = Spool(folder, "dead", 100_000)
    dead.keep([Resolve("r1", settled(duration_ms=2**70)), Resolve("r2", settled())])
    dead.close()
    process.spool_keeper.take_over()
    process.quiet()
    assert states(engine) == {"r1": "pending", "r2": "settled"}
    assert logged(caplog) == ["spooled_settlement_not_written", "spooled_settlements_written"]
    assert files(folder) == ["dead-1.jsonl"]


def test_a_full_spool_is_told_and_counted_and_the_rest_stays_in_memory(
    start: Callable[..., Process], trouble: Trouble, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    process = start(bytes_max=1000)
    process.do(*(Reserve(a_hold(f"r{number}")) for number in range(9)))
    go_away(process, trouble)
    process.submit(*(Resolve(f"r{number}", settled()) for number in range(9)))
    for _ in range(3):
        process.spool_keeper.look()
    assert process.spool_keeper.on_disk > 0
    assert process.spool_keeper.in_memory_only > 0
    assert process.spool_keeper.on_disk + process.spool_keeper.in_memory_only == 10
    assert logged(caplog) == ["settlements_spooled", "spool_not_usable"]
    trouble.fail("begin", 0)
    process.quiet()
    assert set(states(engine).values()) == {"settled"}
    assert (process.spool_keeper.on_disk, process.spool_keeper.in_memory_only) == (0, 0)
    assert process.shown == [process.shown[0], (0, 0)]


def test_a_disk_that_fails_leaves_things_as_they_were_without_it(
    process: Process, trouble: Trouble, engine: Engine, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.touch()  # a file where the folder should be
    process.spool_keeper.start()
    process.do(Reserve(a_hold("r1")))
    go_away(process, trouble)
    process.submit(Resolve("r1", settled()))
    process.spool_keeper.look()
    assert process.spool_keeper.in_memory_only == 2
    assert set(logged(caplog)) == {"spool_not_usable"}
    folder.unlink()
    wait_until(lambda: process.spool_keeper.on_disk == 2, "the disk is tried again")
    trouble.fail("begin", 0)
    process.quiet()
    assert states(engine) == {"r1": "settled"}


class TestClose:
    def test_what_cannot_be_written_is_kept(self, process: Process, trouble: Trouble, folder: Path) -> None:
        process.do(Reserve(a_hold("r1")))
        go_away(process, trouble)
        tickets = process.submit(Resolve("r1", settled()))
        unwritten = process.writer.close(0)
        assert process.spool_keeper.close(unwritten) >= set(tickets)
        assert len(Spool(folder, "next", 100_000).take_over()) == 2

    def test_what_was_written_at_the_last_moment_is_not(
        self, process: Process, trouble: Trouble, engine: Engine, folder: Path
    ) -> None:
        process.do(Reserve(a_hold("r1")))
        go_away(process, trouble)
        process.submit(Resolve("r1", settled()))
        process.spool_keeper.look()
        trouble.fail("begin", 0)
        assert process.spool_keeper.close(process.writer.close(30)) == set()
        assert states(engine) == {"r1": "settled"}
        assert files(folder) == []

    def test_after_it_nothing_is_taken_over(self, process: Process, folder: Path) -> None:
        process.spool_keeper.close(process.writer.close(30))
        dead = Spool(folder, "dead", 100_000)
        dead.keep([Resolve("r1", settled())])
        dead.close()
        process.spool_keeper.take_over()
        assert len(Spool(folder, "next", 100_000).take_over()) == 1


def test_a_bug_does_not_end_the_thread(
    process: Process, trouble: Trouble, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stumbled = threading.Event()
    unwritten_resolutions = process.writer.unwritten_resolutions

    def stumble() -> list[Ticket]:
        if stumbled.is_set():
            return unwritten_resolutions()
        stumbled.set()
        raise ZeroDivisionError

    go_away(process, trouble)
    monkeypatch.setattr(process.writer, "unwritten_resolutions", stumble)
    process.spool_keeper.start()
    assert stumbled.wait(30)
    wait_until(lambda: process.spool_keeper.on_disk == 1, "the next look kept it")
    assert "failed; it goes on" in caplog.text
    assert caplog.records[0].levelno >= logging.WARNING


def test_reserves_are_nothing_to_be_kept(process: Process, trouble: Trouble) -> None:
    trouble.hold_back()
    [ticket] = process.submit(Reserve(a_hold("r1")))
    assert trouble.began.wait(30)
    for _ in range(_WAIT_LOOKS + 2):
        process.spool_keeper.look()
    assert process.spool_keeper.on_disk == 0
    trouble.fail("begin", 9)
    trouble.may_begin.set()
    wait_until(lambda: isinstance(ticket.outcome, StoreUnavailable), "it was told")
