from datetime import timedelta
from typing import Any

import pytest

from app.database.clock import to_ms
from app.database.schema import ledger_tables
from app.quotas.ledger.commands import check_hold, check_settlement, withdrawal
from app.quotas.ledger.rows import (
    RECORD_COLUMNS,
    Closing,
    NewRow,
    Record,
    closing_of,
    closing_of_expired,
    new_row,
    record_read,
)
from app.quotas.rules.reservation import Amounts, Hold, Settlement, State, UsageSource
from tests.quotas.making import MODEL, NOON, PARTY, a_hold, refused, released, settled

COLUMNS = {column.name for column in ledger_tables.reservations.columns}


def test_the_rows_have_the_columns_of_the_table() -> None:
    assert set(NewRow._fields) | set(Closing._fields) == COLUMNS
    assert set(RECORD_COLUMNS) <= COLUMNS


def test_a_new_row_is_pending_and_says_whose_it_is() -> None:
    row = new_row(a_hold("r9", images=4), "process-1")
    assert row._asdict() == {
        "id": "r9",
        "key_id": "key-1",
        "user_id": "user-1",
        "team_id": "team-1",
        "instance": "process-1",
        "operation": "generation",
        "model": MODEL,
        "size": "1024x1024",
        "quality": "high",
        "streamed": False,
        "state": "pending",
        "reserved_at_ms": to_ms(NOON),
        "expires_at_ms": to_ms(NOON + timedelta(minutes=20)),
        "held_images": 4,
        "held_tokens": 1000,
        "held_nanousd": 100_000_000,
        "dispatched_at_ms": None,
        "input_images": 0,
        "received_bytes": 0,
        "account": "main",
        "fingerprint": None,
    }


def a_record(hold: Hold) -> Record:
    """As it is read back of a fresh reservation's row."""
    written = new_row(hold, "process-1")._asdict()
    return record_read([written.get(name) for name in RECORD_COLUMNS])


def test_a_record_is_read_from_its_columns() -> None:
    assert a_record(a_hold()) == Record(
        "r1",
        PARTY,
        "pending",
        to_ms(NOON),
        None,
        Amounts(1, 1, 1000, 100_000_000),
        None,
        None,
        asked=("generation", "1024x1024", "high"),
    )
    values = dict.fromkeys(RECORD_COLUMNS, "?") | {"dispatched_at_ms": 5, "resolved_at_ms": 7, "outcome": "completed"}
    record = record_read([values[name] for name in RECORD_COLUMNS])
    assert (record.dispatched_at_ms, record.resolved_at_ms, record.outcome) == (5, 7, "completed")


def test_a_settlement_as_columns() -> None:
    closing = closing_of(settled(NOON, client_left=True))
    assert closing == Closing(
        state="settled",
        resolved_at_ms=to_ms(NOON),
        outcome="completed",
        usage_source="reported",
        charged_requests=1,
        charged_images=1,
        charged_tokens=800,
        charged_nanousd=80_000_000,
        priced=True,
        input_text_tokens=50,
        input_image_tokens=0,
        output_text_tokens=0,
        output_image_tokens=750,
        client_left=True,
        upstream_status=200,
        upstream_request_id="up-1",
        first_byte_ms=1200,
        duration_ms=2500,
    )


def test_what_upstream_sends_is_cut_to_its_column() -> None:
    closing = closing_of(settled(outcome="o" * 99, upstream_request_id="i" * 999))
    assert closing.outcome == "o" * ledger_tables.reservations.c.outcome.type.length  # type: ignore[attr-defined]
    assert closing.upstream_request_id == "i" * ledger_tables.reservations.c.upstream_request_id.type.length  # type: ignore[attr-defined]


def test_an_expired_one_that_was_sent_costs_what_it_held() -> None:
    record = a_record(a_hold(images=3))
    record.dispatched_at_ms = 5
    closing = closing_of_expired(record, NOON)
    assert closing.charged == Amounts(1, 3, 1000, 100_000_000)
    assert (closing.state, closing.outcome, closing.usage_source) == ("expired", "expired", "estimated")


def test_an_expired_one_that_was_not_sent_costs_nothing() -> None:
    closing = closing_of_expired(a_record(a_hold(images=3)), NOON)
    assert closing.charged == Amounts()
    assert (closing.state, closing.usage_source) == ("expired", "none")


def test_a_withdrawal_is_a_release() -> None:
    command = withdrawal(a_hold("r3"), NOON)
    check_settlement(command.settlement)
    assert command.reservation_id == "r3"
    assert (command.settlement.state, command.settlement.resolved_at) == (State.RELEASED, NOON)


@pytest.mark.parametrize("fields", [{"amounts": Amounts(2)}, {"amounts": Amounts()}, {"images": -1}, {"nanousd": -1}])
def test_holds_that_cannot_be(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="hold"):
        check_hold(a_hold(**fields))


@pytest.mark.parametrize(
    "settlement",
    [
        settled(state=State.PENDING),
        settled(state=State.EXPIRED),
        settled(nanousd=-1),
        settled(state=State.RELEASED, usage_source=UsageSource.NONE),
        settled(state=State.RELEASED, charged=Amounts()),
        refused()._replace(charged=Amounts()),
        refused()._replace(charged=Amounts(1, 0, 1, 0)),
    ],
    ids=[
        *("pending", "expired", "negative", "released but charged", "released with usage"),
        *("refused for nothing", "refused for more than a request"),
    ],
)
def test_settlements_that_cannot_be(settlement: Settlement) -> None:
    with pytest.raises(ValueError, match=r"settled|negative|release|refused"):
        check_settlement(settlement)


def test_ordinary_ones_pass() -> None:
    check_hold(a_hold(images=0, tokens=0, nanousd=0))
    check_settlement(settled())
    check_settlement(released())
    check_settlement(refused())
