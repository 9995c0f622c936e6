"""The rows of a reservation as values: what opens one, what closes it, what expiry charges."""

from app.database.clock import to_ms
from app.database.schema import ledger_tables
from app.quotas.ledger.rows import RECORD_COLUMNS, Closing, NewRow, charge_of_expired, closing_of, new_row, record_read
from app.quotas.ledger.rows import closing_of_expired as expired
from app.quotas.rules.reservation import NOTHING, State
from tests.quotas.making import NOON, PARTY, a_hold, settled


def test_every_column_is_one_of_the_table() -> None:
    columns = set(ledger_tables.reservations.c.keys())
    assert {*NewRow._fields, *Closing._fields, *RECORD_COLUMNS} <= columns


def test_a_hold_opens_a_pending_row_that_reads_back() -> None:
    taken = a_hold("r1")
    row = new_row(taken, "instance")._asdict()
    record = record_read([row.get(name) for name in RECORD_COLUMNS])
    assert (record.id, record.state, record.party, record.held) == ("r1", State.PENDING, PARTY, taken.amounts)
    assert row["expires_at_ms"] == to_ms(taken.expires_at)


def test_a_hold_that_goes_out_at_once_is_dispatched_from_its_first_moment() -> None:
    taken = a_hold("r1")
    assert new_row(taken._replace(is_dispatched=True), "i").dispatched_at_ms == to_ms(taken.reserved_at)
    assert new_row(taken._replace(is_dispatched=False), "i").dispatched_at_ms is None


def test_a_settlement_closes_with_its_charge() -> None:
    settlement = settled()
    closing = closing_of(settlement)
    assert (closing.state, closing.charged) == (State.SETTLED, settlement.charged)


def test_expiry_charges_the_hold_of_what_was_dispatched_and_nothing_else() -> None:
    row = new_row(a_hold("r1")._replace(is_dispatched=False), "i")._asdict()
    record = record_read([row.get(name) for name in RECORD_COLUMNS])
    assert charge_of_expired(record) == NOTHING
    assert expired(record, NOON).usage_source == "none"
    record.dispatched_at_ms = to_ms(NOON)
    assert expired(record, NOON).charged == record.held
    assert expired(record, NOON).usage_source == "estimated"
