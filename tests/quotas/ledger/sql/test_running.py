from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from app.quotas.ledger.rows import NewRow, new_row
from app.quotas.ledger.sql.running import OnPostgresql, OnSqlite, Values
from app.quotas.ledger.sql.statements import Statement, delete, insert
from app.quotas.ledger.store import Store
from tests.quotas.making import a_hold, on_key, running_ledger, set_limits, settled

ROWS = [new_row(a_hold(id_), "here") for id_ in ("a", "b", "c")]
INSERT = insert("reservations", NewRow._fields, "RETURNING id")
DELETE = delete("reservations", ("id",))

Runner = OnSqlite | OnPostgresql


@pytest.fixture
def runner(engine: Engine) -> Iterator[Runner]:
    pooled = engine.raw_connection()
    yield (OnSqlite if engine.dialect.name == "sqlite" else OnPostgresql)(pooled.driver_connection)
    pooled.close()


def test_statements_give_their_rows_in_order(runner: Runner) -> None:
    assert runner.run([]) == []
    texts = [("BEGIN", ()), ("SELECT ?", ("x",)), ("SELECT 1 WHERE 1 = ?", (0,)), ("SELECT 1, 2", ())]
    assert runner.run(texts) == [[], [("x",)], [], [(1, 2)]]


def test_rows_are_changed_and_told(runner: Runner) -> None:
    assert runner.select(INSERT, []) == []
    assert sorted(runner.select(INSERT, ROWS)) == [("a",), ("b",), ("c",)]
    with runner.together():
        runner.change(DELETE, [])
        runner.change(DELETE, [("a",), ("c",)])
        runner.change(DELETE, [("b",)])
    assert runner.run([("SELECT id FROM reservations", ())]) == [[]]


def change_together(runner: Runner, *changes: tuple[Statement, Sequence[Values]]) -> None:
    with runner.together():
        for statement, rows in changes:
            runner.change(statement, rows)


def test_fewer_changed_rows_than_given_are_an_error(runner: Runner) -> None:
    runner.select(INSERT, ROWS)
    with pytest.raises(RuntimeError, match="1 rows changed instead of 2"):
        change_together(runner, (DELETE, [("a",), ("nobody",)]))


def test_of_what_is_sent_together_the_first_error_is_raised(runner: Runner, engine: Engine) -> None:
    """And not the one that says that the rest was not run."""
    runner.select(INSERT, ROWS)
    with pytest.raises(engine.dialect.loaded_dbapi.IntegrityError):
        change_together(runner, (DELETE, [("a",)]), (INSERT, ROWS), (DELETE, [("b",)]))


@pytest.mark.parametrize("store_kind", ["postgresql"], indirect=True)
async def test_a_reservation_is_four_round_trips_and_a_settlement_five(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connections: list[Any] = []

    class SeenStore(Store):
        def __init__(self, connection: Any, dialect: str) -> None:
            super().__init__(connection, dialect)
            connections.append(connection)

    async def round_trips(done: Awaitable[object]) -> int:
        """How often the writer asked for an answer meanwhile, as libpq notes it."""
        (connection,) = connections
        with (tmp_path / "messages").open("w+") as messages:
            connection.pgconn.trace(messages.fileno())
            await done
            connection.pgconn.untrace()
            messages.seek(0)
            sent = [line.split("\t") for line in messages]
        return sum(fields[1:2] == ["F"] and fields[3].strip() in ("Sync", "Query") for fields in sent)

    monkeypatch.setattr("app.quotas.ledger.writer.Store", SeenStore)
    set_limits(engine, on_key("images:1000/day"))
    async with running_ledger(engine) as ledger:
        for number in range(8):  # afterwards counters are known, and psycopg has prepared every statement
            await ledger.reserve(a_hold(f"r{number}"))
            await ledger.resolve(f"r{number}", settled())
        assert await round_trips(ledger.reserve(a_hold("last"))) == 4
        assert await round_trips(ledger.resolve("last", settled())) == 5
