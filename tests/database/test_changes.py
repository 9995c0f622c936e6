import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import IntegrityError

from app.database.changes import Change, Wanted, list_changes, lock_changes, record_change
from app.database.engine import reading, store_errors, writing
from app.database.schema import change_tables
from app.errors import StoreUnavailable
from tests.database.revision import read_revision

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)


def change_at(now: datetime = NOW) -> Change:
    return Change(actor="root@host", now=now, new_id=lambda: "x1")


def test_a_fresh_store_has_revision_zero_and_no_changes(engine: Engine) -> None:
    with reading(engine) as connection:
        assert read_revision(connection) == 0
        assert list(list_changes(connection, 10)) == []


def test_a_change_is_listed_and_raises_the_revision(engine: Engine) -> None:
    with writing(engine) as connection:
        record_change(connection, change_at(), "user.create", "user_1", None, {"name": "Zoë", "team": None})
    with reading(engine) as connection:
        assert read_revision(connection) == 1
        (entry,) = list_changes(connection, 10)
    assert (entry.at, entry.actor, entry.action, entry.target) == (NOW, "root@host", "user.create", "user_1")
    assert entry.before is None
    assert entry.after == {"name": "Zoë", "team": None}


def test_a_very_long_actor_is_cut_not_refused(engine: Engine) -> None:
    with writing(engine) as connection:
        record_change(connection, Change("x" * 500, NOW, lambda: ""), "a", "t", None, None)
        [entry] = list_changes(connection, 1)
    assert entry.actor == "x" * 120


def test_the_newest_change_comes_first_and_the_list_is_bounded(engine: Engine) -> None:
    with writing(engine) as connection:
        for number in range(5):
            record_change(connection, change_at(NOW + timedelta(seconds=number)), "a", f"t{number}", {}, {})
    with reading(engine) as connection:
        assert [entry.target for entry in list_changes(connection, 2)] == ["t4", "t3"]


def test_what_is_written_is_json_with_sorted_names(engine: Engine) -> None:
    with writing(engine) as connection:
        record_change(connection, change_at(), "a", "t", {"b": 1, "a": [True, "é"]}, None)
    with reading(engine) as connection:
        before = connection.execute(select(change_tables.admin_events.c.before)).scalar_one()
    assert before == '{"a": [true, "é"], "b": 1}'
    assert json.loads(before) == {"a": [True, "é"], "b": 1}


def test_a_change_that_fails_leaves_neither_line_nor_revision(engine: Engine) -> None:
    def fail(connection: Connection) -> None:
        record_change(connection, change_at(), "a", "t", None, None)
        raise LookupError

    with pytest.raises(LookupError), writing(engine) as connection:
        fail(connection)
    with reading(engine) as connection:
        assert read_revision(connection) == 0
        assert list(list_changes(connection, 10)) == []


def test_a_second_change_waits_for_the_first_to_end(engine: Engine) -> None:
    with writing(engine) as first:
        lock_changes(first)
        with engine.connect() as second:
            if engine.dialect.name == "sqlite":
                driver = second.connection.driver_connection
                assert driver is not None
                driver.execute("PRAGMA busy_timeout = 50")  # the whole file is locked, already at the begin
            else:
                second.execute(text("SET LOCAL lock_timeout = '50ms'"))
            with pytest.raises(StoreUnavailable), store_errors():
                lock_changes(second)
    with writing(engine) as third:
        lock_changes(third)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), ["user user_10", "team_1", "user user_1", "user_1"]),
        (Wanted(since=NOW + timedelta(seconds=1)), ["user user_10", "team_1", "user user_1"]),
        (Wanted(until=NOW + timedelta(seconds=1)), ["user_1"]),
        (Wanted(since=NOW + timedelta(seconds=1), until=NOW + timedelta(seconds=2)), ["user user_1"]),
        (Wanted(actor="ALICE"), ["team_1", "user_1"]),
        (Wanted(actor="%"), []),
        (Wanted(target="user_1"), ["user user_1", "user_1"]),
        (Wanted(target="user__"), []),
        (Wanted(target="user_1", actor="bob"), ["user user_1"]),
    ],
)
def test_changes_are_found(engine: Engine, wanted: Wanted, found: list[str]) -> None:
    done = [("cli:alice", "user_1"), ("cli:bob", "user user_1"), ("cli:root (alice)", "team_1"), ("b", "user user_10")]
    with writing(engine) as connection:
        for second, (actor, target) in enumerate(done):
            made = Change(actor, NOW + timedelta(seconds=second), lambda: "")
            record_change(connection, made, "a", target, None, None)
    with reading(engine) as connection:
        assert [entry.target for entry in list_changes(connection, 10, wanted)] == found


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE admin_events SET actor = 'nobody'",
        "UPDATE admin_events SET actor = actor WHERE id = 1",
        "DELETE FROM admin_events",
        "TRUNCATE admin_events",
        "INSERT OR REPLACE INTO admin_events (id, at_ms, actor, action, target) VALUES (1, 1, 'x', 'x', 'x')",
        "INSERT INTO admin_events (id, at_ms, actor, action, target) VALUES (1, 1, 'x', 'x', 'x')"
        " ON CONFLICT (id) DO UPDATE SET actor = 'x'",
    ],
)
def test_the_database_lets_nobody_rewrite_what_was_done(engine: Engine, statement: str) -> None:
    only_there = "postgresql" if statement.startswith("TRUNCATE") else "sqlite" if "OR REPLACE" in statement else ""
    if only_there not in ("", engine.dialect.name):
        return  # this engine has no such statement
    with writing(engine) as connection:
        record_change(connection, change_at(), "a", "t", None, {"b": 1})
    with pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(text(statement))
    with reading(engine) as connection:
        [entry] = list_changes(connection, 10)
    assert (entry.id, entry.actor, entry.after) == (1, "root@host", {"b": 1})
