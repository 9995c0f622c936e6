"""Lists of requests: what few have is found by an index, however many others there are."""

from typing import Any

import pytest
from sqlalchemy import Engine, event

from app.quotas.reports.lists.requests import WantedRequests, read_requests


@pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (WantedRequests((("outcome", "upstream_timeout"),)), "ix_reservations_unusual"),
        (WantedRequests((("state", "expired"),)), "ix_reservations_expired"),
        (WantedRequests(is_pending=True), "ix_reservations_pending"),
        (WantedRequests((("user_id", "u"),)), "ix_reservations_user_id_reserved_at_ms"),
    ],
)
def test_what_few_have_is_found_by_an_index(engine: Engine, wanted: WantedRequests, index: str) -> None:
    asked: list[tuple[str, Any]] = []
    with engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", lambda *told: asked.append(told[2:4]))
        assert read_requests(connection, wanted, None, 100) == []
        text, values = next(each for each in asked if each[0].startswith("SELECT"))
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
    assert any(index in step for step in plan), plan
    assert not [step for step in plan if step.startswith("SCAN") and "ix_reservations_reserved_at" in step], plan
