"""Long lists are read a page at a time, to their end, however long they are."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import insert, text

from app.admin.operator import Operator
from app.admin.reads.others import list_reconciliations, list_refusals
from app.admin.reads.pages import Page, Row
from app.database.clock import to_ms
from app.database.engine import writing
from app.database.schema.total_tables import reconciliations, refusal_hours
from app.errors import InvalidValue
from app.quotas.reports.lists.refusals import WantedRefusals
from app.quotas.reports.reconciliations import WantedChecks
from tests.admin.conftest import NOW

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
HOUR = NOW.replace(minute=0)
MONTH = WantedRefusals(HOUR - timedelta(days=30), HOUR + timedelta(hours=1))
MANY = """
INSERT INTO refusal_hours (hour_start_ms, user_id, key_id, code, count)
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < 50010)
SELECT {hour_ms} - CAST(n / 5000 AS BIGINT) * 3600000, 'user-' || n, '', 'insufficient_quota', 1 FROM numbers
"""


def whole(read: Callable[[str | None, int], Page], limit: int) -> list[Row]:
    """All rows, a page after the other."""
    found: list[Row] = []
    has_more = True
    while has_more:
        page = read(found[-1]["id"] if found else None, limit)
        assert len(page.rows) == limit or not page.has_more
        found += page.rows
        has_more = page.has_more
    return found


def test_refusals_are_paged_by_hour_user_key_and_code(operator: Operator) -> None:
    row = {"key_id": "", "count": 1}
    hours = [to_ms(HOUR) - HOUR_MS * back for back in (0, 1, 1, 1, 800)]
    words = [("a", "x"), ("b", "x"), ("b", "y"), ("", "y"), ("a", "x")]
    rows = [
        {"hour_start_ms": hour, "user_id": user, "code": code, **row}
        for hour, (user, code) in zip(hours, words, strict=True)
    ]
    with writing(operator.engine) as connection:
        connection.execute(insert(refusal_hours), rows)
    for limit in (1, 2, 3, 4, 5):
        found = whole(lambda after, limit: list_refusals(operator, MONTH, after, limit), limit)
        assert [(each["user_id"] or "", each["code"]) for each in found] == [
            ("a", "x"),
            ("b", "y"),
            ("b", "x"),
            ("", "y"),
        ]
    for wrong in ("nothing", "2026-11-24/a/b/c/d", "2026-11-24/a/b/c", "noon/a/b/c"):
        with pytest.raises(InvalidValue, match="after"):
            list_refusals(operator, MONTH, wrong, 1)


def test_the_pages_of_refusals_go_on_behind_fifty_thousand(operator: Operator) -> None:
    with writing(operator.engine) as connection:
        connection.execute(text(MANY.format(hour_ms=to_ms(HOUR))))
    found = whole(lambda after, limit: list_refusals(operator, MONTH, after, limit), 20_000)
    assert len({each["id"] for each in found}) == len(found) == 50_010


def test_comparisons_are_paged_by_day_account_and_model(operator: Operator) -> None:
    sums = dict.fromkeys(("ledger_requests", "ledger_nanousd", "billed_requests", "billed_nanousd", "checked_at_ms"), 1)
    midnight = to_ms(NOW.replace(hour=0, minute=0))
    rows = [
        {"day_start_ms": midnight - back * DAY_MS, "account": account, "model": model, **sums}
        for back in (0, 1)
        for account in ("", "main")
        for model in ("openai/gpt-image-2", "google/x", "")
    ]
    with writing(operator.engine) as connection:
        connection.execute(insert(reconciliations), rows)
    read = WantedChecks()
    once = [row["id"] for row in list_reconciliations(operator, read, None, 100).rows]
    assert (len(set(once)), once[0], once[-1]) == (12, "2026-11-24/main/openai/gpt-image-2", "2026-11-23//")
    for limit in (1, 5):
        found = whole(lambda after, limit: list_reconciliations(operator, read, after, limit), limit)
        assert [row["id"] for row in found] == once
    assert len(list_reconciliations(operator, WantedChecks(until=NOW - timedelta(days=1)), None, 100).rows) == 6
    for wrong in ("nothing", "2026-11-24", "noon/a/b"):
        with pytest.raises(InvalidValue, match="after"):
            list_reconciliations(operator, read, wrong, 1)
