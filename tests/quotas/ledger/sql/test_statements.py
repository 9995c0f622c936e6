from typing import Any

import pytest
from psycopg.rows import scalar_row
from sqlalchemy import Engine

from app.quotas.ledger import store as ledger_store
from app.quotas.ledger.execute import Writes
from app.quotas.ledger.rows import closing_of, new_row
from app.quotas.ledger.sql.statements import Statement, as_json
from app.quotas.ledger.store import Store
from tests.quotas.making import a_hold, rows, settled

STATEMENTS = {name: value for name, value in vars(ledger_store).items() if isinstance(value, Statement)}
# Those that look for rows; the others insert.
LOOKING = {name: each for name, each in STATEMENTS.items() if not each.for_all.startswith("INSERT")}


def test_rows_are_objects_in_json() -> None:
    assert as_json(("id", '"window"'), [("a", None), ('é"\\', 2**62 + 1)]) == (
        '[{"id":"a","window":null},{"id":"é\\"\\\\","window":4611686018427387905}]'
    )


def test_values_come_through_as_they_are(engine: Engine) -> None:
    text = 'é "\\ {1} \u2028 \x7f 🖼'
    first = a_hold("a", size=text[:16], nanousd=2**62 + 1, fingerprint=None, streamed=True)
    last = settled(nanousd=2**62 + 3, upstream_request_id=text, first_byte_ms=None, client_left=True)
    pooled = engine.raw_connection()
    try:
        store = Store(pooled.driver_connection, engine.dialect.name)
        store.begin()
        store.write(Writes([new_row(first, "here"), new_row(a_hold("b"), "here")]), {})
        store.write(Writes(closed=[(closing_of(last), "a")], moved={"b": (text, 7)}), {})
        store.commit()
    finally:
        pooled.close()
    a, b = (rows(engine)[id_] for id_ in "ab")
    assert (a["size"], a["upstream_request_id"], b["account"], b["dispatched_at_ms"]) == (text[:16], text, text, 7)
    assert (a["held_nanousd"], a["charged_nanousd"]) == (2**62 + 1, 2**62 + 3)
    assert (a["fingerprint"], a["first_byte_ms"], a["streamed"], a["client_left"]) == (None, None, True, True)
    assert b["streamed"] is False


@pytest.mark.parametrize("store_kind", ["postgresql"], indirect=True)
@pytest.mark.parametrize("name", LOOKING)
def test_postgresql_looks_each_row_up_by_its_key(engine: Engine, name: str) -> None:
    """Also in a plan that it made for empty tables, and keeps while they grow."""
    statement = LOOKING[name].for_all.replace("%s", "$1")
    pooled = engine.raw_connection()
    try:
        connection: Any = pooled.driver_connection
        Store(connection, "postgresql")  # with the settings of its session
        cursor = connection.cursor(row_factory=scalar_row)
        cursor.execute("SET plan_cache_mode = force_generic_plan")
        cursor.execute(f"PREPARE looking (json) AS {statement}")
        plan = cursor.execute("EXPLAIN EXECUTE looking ('[]')").fetchall()
        cursor.execute("DEALLOCATE looking")
    finally:
        pooled.close()
    assert [line for line in plan if "Index Scan using pk_" in line], plan
    assert not [line for line in plan if "Seq Scan" in line or "Join Filter" in line], plan
