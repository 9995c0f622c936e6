import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, update

from app.database.engine import create_engine, reading, writing
from app.database.schema import ledger_tables, limit_tables
from app.errors import DuplicateReservation, QuotaExceeded
from app.quotas.ledger import sqlite_cache as sqlite_cache_module
from app.quotas.ledger.commands import MarkDispatched, Reserve, Reserved, Resolve
from app.quotas.ledger.execute import AppliedCounters
from app.quotas.ledger.rows import Record
from app.quotas.ledger.sqlite_cache import SqliteCache
from app.quotas.rules.applicable import ApplicableLimits
from app.quotas.rules.counters import Counter, CounterKey
from app.quotas.rules.reservation import Amounts, Resolution
from tests.quotas.ledger.test_writer import Desk, desks
from tests.quotas.making import NOON, PARTY, a_hold, counters, errors, on_key, on_team, rows, set_limits, settled

KEY = CounterKey("key", "key-1", "", "day", 0)


def a_record(id_: str, state: str = "pending") -> Record:
    return Record(id_, PARTY, state, 1, None, Amounts(1, 1, 1, 1))


def full(records: int = 1) -> SqliteCache:
    memory = SqliteCache()
    memory.turn_to(7)
    memory.revision = 3
    memory.counters[KEY] = Counter()
    memory.applied_counters[ApplicableLimits(PARTY, (), ())] = AppliedCounters((), ())
    memory.keep({f"r{number}": a_record(f"r{number}") for number in range(records)})
    return memory


def contents(memory: SqliteCache) -> tuple[object, ...]:
    return memory.revision, len(memory.counters), len(memory.applied_counters), len(memory.records_of(["r0"]))


class TestMemory:
    def test_it_holds_while_the_version_is_the_same(self) -> None:
        memory = full()
        memory.turn_to(7)
        assert contents(memory) == (3, 1, 1, 1)

    @pytest.mark.parametrize("version", [6, 8])
    def test_another_version_ends_it_all(self, version: int) -> None:
        memory = full()
        memory.turn_to(version)
        assert contents(memory) == (None, 0, 0, 0)
        memory.revision = 4
        memory.turn_to(version)
        assert memory.revision == 4

    def test_only_what_is_pending_is_kept(self) -> None:
        memory = full()
        memory.keep({"r0": a_record("r0", "settled"), "r1": a_record("r1"), "r2": a_record("r2", "released")})
        assert memory.records_of(["r0", "r1", "r2", "r3"]) == {"r1": a_record("r1")}

    @pytest.mark.parametrize("what", ["_RECORDS_MAX", "_COUNTERS_MAX"])
    def test_it_is_bounded(self, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite_cache_module, what, 0)
        memory = full()
        memory.turn_to(7)
        assert contents(memory) == (None, 0, 0, 0)


@pytest.fixture
def store_kind() -> str:
    return "sqlite"  # elsewhere nothing is remembered


class Version:
    """`PRAGMA data_version`, as a connection that writes in WAL mode asks for it: with the write lock held."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")

    def __call__(self, write: str = "", end: str = "COMMIT") -> int:
        self.connection.execute("BEGIN IMMEDIATE")
        value: int = self.connection.execute("PRAGMA data_version").fetchone()[0]
        if write:
            self.connection.execute(write)
        self.connection.execute(end)
        return value


class TestDataVersion:
    """SQLite's promise, on the library that is installed."""

    @pytest.fixture
    def versions(self, tmp_path: Path) -> Iterator[tuple[Version, Version]]:
        mine, other = Version(tmp_path / "file.db"), Version(tmp_path / "file.db")
        mine("CREATE TABLE t (x)")
        yield mine, other
        mine.connection.close()
        other.connection.close()

    def test_commits_of_our_own_do_not_change_it(self, versions: tuple[Version, Version]) -> None:
        mine, other = versions
        first = mine()
        for _ in range(20):
            assert mine("INSERT INTO t VALUES (1)") == first
        assert other() == other()
        mine.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert mine("INSERT INTO t VALUES (2)") == first

    @pytest.mark.parametrize("write", ["INSERT INTO t VALUES (2)", "CREATE TABLE u (x)", "DELETE FROM t"])
    def test_every_commit_of_another_connection_does(self, versions: tuple[Version, Version], write: str) -> None:
        mine, other = versions
        before = mine("INSERT INTO t VALUES (1)")
        other(write)
        after = mine("INSERT INTO t VALUES (3)")
        assert after != before
        assert mine() == after

    def test_so_it_is_when_the_journal_was_begun_anew_in_between(self, versions: tuple[Version, Version]) -> None:
        mine, other = versions
        for number in range(30):
            before = mine("INSERT INTO t VALUES (1)")
            if number % 2:
                mine.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            other("INSERT INTO t VALUES (2)")
            if number % 3:
                other.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            assert mine() != before

    def test_so_it_is_after_transactions_that_were_rolled_back(self, versions: tuple[Version, Version]) -> None:
        mine, other = versions
        before = mine("INSERT INTO t VALUES (1)", end="ROLLBACK")
        other("INSERT INTO t VALUES (2)", end="ROLLBACK")
        other("INSERT INTO t VALUES (2)")
        assert mine("INSERT INTO t VALUES (1)", end="ROLLBACK") != before


class TestWriter:
    """Whoever writes to the file in between, the next transaction decides on what the file says."""

    @pytest.fixture
    def make_desk(self) -> Iterator[Callable[[Engine], Desk]]:
        with desks() as make:
            yield make

    @pytest.fixture
    def desk(self, engine: Engine, make_desk: Callable[[Engine], Desk]) -> Desk:
        set_limits(engine, on_key("images:5/day"), on_team("images:50/month"))
        desk = make_desk(engine)
        assert desk.do(Reserve(a_hold("r1")), Reserve(a_hold("r2"))) == [Reserved(None)] * 2
        return desk

    def statements_of(self, desk: Desk, *commands: Reserve | Resolve | MarkDispatched) -> list[str]:
        """The first words of what the writer's connection does for them."""
        seen: list[str] = []
        desk.writer._connection.set_trace_callback(seen.append)
        desk.do(*commands)
        desk.writer._connection.set_trace_callback(None)
        return [" ".join(text.split()[:2]) for text in seen]

    def test_what_is_known_is_not_read_again(self, desk: Desk, engine: Engine) -> None:
        assert self.statements_of(desk, Reserve(a_hold("r3"))) == [
            *("BEGIN IMMEDIATE", "PRAGMA data_version", "INSERT INTO"),
            *("UPDATE counters", "UPDATE counters", "COMMIT"),
        ]
        assert self.statements_of(desk, Resolve("r1", settled())) == [
            *("BEGIN IMMEDIATE", "PRAGMA data_version", "UPDATE reservations"),
            *("UPDATE counters", "UPDATE counters", "INSERT INTO", "INSERT INTO", "COMMIT"),
        ]
        assert "SELECT id," in self.statements_of(desk, Resolve("r1", settled()))
        assert errors(engine) == []

    def test_after_another_connections_commit_all_of_it_is(self, desk: Desk, engine: Engine) -> None:
        set_limits(engine, on_key("images:1/day", "somebody else's"))
        seen = self.statements_of(desk, Resolve("r1", settled()))
        assert [text for text in seen if text.startswith("SELECT")].count("SELECT value") == 1
        assert {"SELECT value", "SELECT id,", "SELECT scope,"} <= set(seen)

    def test_a_counter_that_another_process_moved(
        self, desk: Desk, engine: Engine, store_url: str, make_desk: Callable[[Engine], Desk]
    ) -> None:
        another = create_engine(store_url)
        other = make_desk(another)
        assert other.do(Reserve(a_hold("x", images=3))) == [Reserved(None)]
        (refused,) = desk.do(Reserve(a_hold("r3")))
        assert isinstance(refused, QuotaExceeded)
        assert other.do(Resolve("r1", settled(images=0)), Resolve("x", settled(images=1))) == [Resolution.DONE] * 2
        assert desk.do(Reserve(a_hold("r3", images=3)), Resolve("r1", settled())) == [
            Reserved(None),
            Resolution.ALREADY_RESOLVED,
        ]
        assert counters(engine)["key", "key-1", "", "day"]["pending_images"] == 4
        assert errors(engine) == []
        another.dispose()

    def test_a_reservation_that_somebody_dispatched(self, desk: Desk, engine: Engine) -> None:
        with writing(engine) as connection:
            connection.execute(update(ledger_tables.reservations).values(dispatched_at_ms=5))
        desk.do(MarkDispatched("r1", NOON))
        assert rows(engine)["r1"]["dispatched_at_ms"] == 5

    def test_counters_that_were_deleted_are_made_anew(self, desk: Desk, engine: Engine) -> None:
        with writing(engine) as connection:
            connection.execute(delete(limit_tables.counters))
        assert desk.do(Resolve("r1", settled(images=4))) == [Resolution.DONE]
        assert counters(engine)["key", "key-1", "", "day"]["settled_images"] == 4
        assert errors(engine) == []

    def test_a_reading_makes_nothing_old(self, desk: Desk, engine: Engine) -> None:
        with reading(engine) as connection:
            connection.exec_driver_sql("SELECT count(*) FROM reservations").scalar_one()
        assert "SELECT value" not in self.statements_of(desk, Reserve(a_hold("r3")))

    def test_what_a_failed_transaction_would_have_left_is_forgotten(self, desk: Desk, engine: Engine) -> None:
        poison = Resolve("r1", settled(duration_ms=2**70))
        desk.do(poison)
        assert desk.do(Resolve("r1", settled(images=1)), Reserve(a_hold("r3", images=3))) == [
            Resolution.DONE,
            Reserved(None),
        ]
        (refused,) = desk.do(Reserve(a_hold("r4")))
        assert isinstance(refused, QuotaExceeded)
        assert errors(engine) == []

    def test_an_id_that_is_there_is_found_though_nobody_looks_for_it(self, desk: Desk, engine: Engine) -> None:
        desk.do(Resolve("r2", settled()))
        for id_ in ("r1", "r2"):
            new, old, settling = desk.do(Reserve(a_hold(f"new {id_}")), Reserve(a_hold(id_)), Resolve("r1", settled()))
            assert new == Reserved(None)
            assert isinstance(old, DuplicateReservation)
            assert settling in (Resolution.DONE, Resolution.ALREADY_RESOLVED)
        assert len(rows(engine)) == 4
        assert errors(engine) == []
