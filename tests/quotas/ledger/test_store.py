from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, delete, update
from sqlalchemy import insert as insert_into

from app.database.clock import to_ms
from app.database.engine import writing
from app.database.schema import identity_tables, ledger_tables, limit_tables
from app.quotas.ledger.execute import Writes
from app.quotas.ledger.rows import Record, closing_of, new_row
from app.quotas.ledger.store import CounterVanished, Store
from app.quotas.rules.applicable import ApplicableLimits, Party
from app.quotas.rules.counters import Counter, CounterKey
from app.quotas.rules.thresholds import NamedThresholdEvent, ThresholdEvent
from tests.quotas.making import (
    MODEL,
    NOON,
    PARTY,
    a_hold,
    events,
    on_key,
    on_team,
    remove_limits,
    rows,
    set_limits,
    settled,
)

TODAY = to_ms(NOON.replace(hour=0, minute=0, second=0))
KEY_DAY = CounterKey("key", "key-1", "", "day", TODAY)


@pytest.fixture
def store(engine: Engine) -> Iterator[Store]:
    connection = engine.raw_connection()
    yield Store(connection.driver_connection, engine.dialect.name)
    connection.close()


def insert(store: Store, *new: Writes) -> None:
    for writes in new:
        store.begin()
        store.write(writes, {})
        store.commit()


def some_use(store: Store) -> None:
    """Today: one settled, one released, one pending; before today, another key's, another model's: one each."""
    holds = [
        a_hold("settled", images=2),
        a_hold("released", images=3),
        a_hold("pending", images=4),
        a_hold("yesterday", images=10, at=NOON - timedelta(days=1)),
        a_hold("other key", images=20, key_id="key-2"),
        a_hold("other model", images=40, model="openai/other"),
        a_hold("other team", images=80, key_id="key-3", user_id="user-3", team_id=None),
    ]
    writes = Writes([new_row(hold, "here") for hold in holds])
    writes.closed = [(closing_of(settled(images=1, nanousd=7)), "settled")]
    free = closing_of(settled())._replace(state="released", usage_source="none", outcome="x")
    free = free._replace(charged_requests=0, charged_images=0, charged_tokens=0, charged_nanousd=0)
    writes.closed.append((free, "released"))
    for hold, (closing, _) in zip(holds, writes.closed, strict=False):
        party = Party(hold.key_id, hold.user_id, hold.team_id, hold.model, hold.account)
        record = Record(hold.id, party, "pending", to_ms(hold.reserved_at), None, hold.amounts, asked=("a", "b", "c"))
        writes.totals.add_closing(record, closing)
    insert(store, writes)


def test_begin_tells_the_revision(store: Store, engine: Engine) -> None:
    before = store.begin()
    store.commit()
    set_limits(engine, on_key("images:1/day"))
    assert store.begin() > before


def test_limits_are_read_by_scope(store: Store, engine: Engine) -> None:
    limits = [on_key("images:1/day@m", shadow=True), on_key("usd:0.5/total"), on_team("concurrent:2")]
    set_limits(engine, *limits)
    store.begin()
    assert store.read_limits([("key", "key-1"), ("key", "key-2"), ("team", "team-1")]) == [limits[:2], [], limits[2:]]


def test_rows_are_written_and_read(store: Store, engine: Engine) -> None:
    insert(store, Writes([new_row(a_hold("a"), "here"), new_row(a_hold("b"), "here")]))
    insert(store, Writes(dispatched={"a": 77}))
    insert(store, Writes(closed=[(closing_of(settled()), "b")]))
    store.begin()
    records = store.read_records(["b", "a", "none"])
    assert {id_: (record.state, record.dispatched_at_ms) for id_, record in records.items()} == {
        "a": ("pending", 77),
        "b": ("settled", None),
    }
    store.commit()
    assert rows(engine)["b"]["output_image_tokens"] == 750
    assert rows(engine)["b"]["streamed"] is False


@pytest.mark.parametrize(
    "writes",
    [
        Writes(dispatched={"settled": 1}),
        Writes(dispatched={"pending": 1, "none": 1}),
        Writes(closed=[(closing_of(settled()), "settled")]),
        Writes(closed=[(closing_of(settled()), "none")]),
    ],
    ids=["mark a resolved one", "mark what is not there", "resolve twice", "resolve what is not there"],
)
def test_a_row_that_is_not_as_it_was_read_stops_the_transaction(store: Store, writes: Writes) -> None:
    some_use(store)
    store.begin()
    with pytest.raises(RuntimeError, match="rows changed instead of"):
        store.write(writes, {})


class TestCounters:
    def test_a_new_one_counts_what_its_reservations_say(self, store: Store) -> None:
        some_use(store)
        keys = {
            KEY_DAY: (1, 4 + 40),
            CounterKey("gateway", "", "", "day", TODAY): (1, 4 + 20 + 40 + 80),
            CounterKey("key", "key-1", "", "total", 0): (1, 4 + 10 + 40),
            CounterKey("key", "key-1", MODEL, "day", TODAY): (1, 4),
            CounterKey("team", "team-1", "", "day", TODAY): (1, 4 + 20 + 40),
            CounterKey("user", "user-3", "", "day", TODAY): (0, 80),
            CounterKey("key", "key-1", "", "hour", TODAY): (0, 0),
        }
        store.begin()
        found = store.read_counters(sorted(keys))
        assert {key: (counter.settled_images, counter.pending_images) for key, counter in found.items()} == keys
        assert found[KEY_DAY] == Counter(1, 1, 800, 7, 2, 44, 2000, 200_000_000)

    def test_it_is_there_from_then_on(self, store: Store, engine: Engine) -> None:
        some_use(store)
        store.begin()
        made = store.read_counters([KEY_DAY])
        store.commit()
        store.begin()
        assert store.read_counters([KEY_DAY]) == made
        store.commit()
        made[KEY_DAY].settled_images += 5
        store.begin()
        store.write(Writes(touched={ApplicableLimits(PARTY, (), (KEY_DAY,))}), made)
        store.commit()
        connection = engine.raw_connection()
        try:
            another = Store(connection.driver_connection, engine.dialect.name)
            another.begin()
            assert another.read_counters([KEY_DAY]) == made
        finally:
            connection.close()

    def test_one_deleted_behind_our_back_is_noticed(self, store: Store, engine: Engine) -> None:
        store.begin()
        store.read_counters([KEY_DAY])
        store.commit()
        with writing(engine) as connection:
            connection.execute(delete(limit_tables.counters))
        store.begin()
        with pytest.raises(CounterVanished):
            store.read_counters([KEY_DAY])

    def test_when_limits_changed_it_is_made_anew(self, store: Store, engine: Engine) -> None:
        set_limits(engine, on_key("images:5/day"))
        store.begin()
        store.read_counters([KEY_DAY])
        store.commit()
        remove_limits(engine, on_key("images:5/day"))
        store.begin()
        store.forget_counters()
        assert store.read_counters([KEY_DAY]) == {KEY_DAY: Counter()}

    def test_no_keys_no_counters(self, store: Store) -> None:
        store.begin()
        assert store.read_counters([]) == {}


class TestCrossings:
    EVENT = ThresholdEvent("key", "key-1", "images", "day", "", TODAY, 50, 10, 5, False, 99, 100)

    def test_each_is_written_once_and_whoever_writes_it_is_told(self, store: Store, engine: Engine) -> None:
        other = self.EVENT._replace(percent=80, shadow=True, next_try_at_ms=None)
        store.begin()
        assert store.write_threshold_events([self.EVENT, self.EVENT._replace(used=6)]) == [
            NamedThresholdEvent(self.EVENT, "key-1")
        ]
        store.commit()
        store.begin()
        assert store.write_threshold_events([self.EVENT, other]) == [NamedThresholdEvent(other, "key-1")]
        store.commit()
        first, second = events(engine)
        assert {name: first[name] for name in ThresholdEvent._fields} == self.EVENT._asdict()
        assert {name: second[name] for name in ThresholdEvent._fields} == other._asdict()
        assert (first["tries"], second["tries"]) == (0, 0)

    def test_our_own_are_found_again_and_others_are_not_taken_for_them(self, store: Store) -> None:
        store.begin()
        store.write_threshold_events([self.EVENT])
        others = [self.EVENT._replace(used=6), self.EVENT._replace(crossed_at_ms=98), self.EVENT._replace(percent=80)]
        assert store.find_threshold_events([*others, self.EVENT]) == [NamedThresholdEvent(self.EVENT, "key-1")]
        assert store.find_threshold_events([]) == []

    def test_they_carry_the_name_people_know(self, store: Store, engine: Engine) -> None:
        with writing(engine) as connection:
            connection.execute(insert_into(identity_tables.users).values(id="same", name="alice", created_at_ms=1))
            connection.execute(insert_into(identity_tables.teams).values(id="same", name="design", created_at_ms=1))
        store.begin()
        owners = (("user", "same"), ("team", "same"), ("key", "same"), ("user", "gone"), ("gateway", ""))
        written = store.write_threshold_events(
            [self.EVENT._replace(scope=scope, scope_id=id_) for scope, id_ in owners]
        )
        assert [named_event.name for named_event in written] == ["alice", "design", "same", "gone", "gateway"]


@pytest.mark.parametrize("store_kind", ["postgresql"], indirect=True)
def test_a_frozen_writer_does_not_hold_locks_for_long(engine: Engine) -> None:
    connection = engine.raw_connection()
    try:
        Store(connection.driver_connection, "postgresql")
        cursor = connection.cursor()
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        assert cursor.fetchone() == ("10s",)
    finally:
        connection.close()


def test_the_database_itself_refuses_a_half_resolution(store: Store, engine: Engine) -> None:
    some_use(store)
    table = ledger_tables.reservations
    with pytest.raises(Exception, match="resolved_once"), engine.begin() as connection:
        connection.execute(update(table).where(table.c.id == "pending").values(state="settled"))
