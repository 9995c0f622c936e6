"""Reads of the admin API have threads and connections of their own, a deadline and a cap: no page delays an image."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from sqlalchemy import insert, text

from app.database.clock import to_ms
from app.database.engine import writing
from app.database.schema.total_tables import TOTAL_SUMS, TOTAL_WORDS, reconciliations, usage_days
from app.main import utc_now
from app.quotas.reports.lists import series
from app.sandbox.server import SandboxServer
from tests.admin_api.conftest import Admin
from tests.admin_api.test_records import buy, sandbox, upstream_url
from tests.servers import fetch_json, wait_until

__all__ = ["sandbox", "upstream_url"]

ROWS_MAX = 2000  # not 50,000, which a busy machine does not read in time
READERS = 3  # as many as run at a time
DEADLINE_SECONDS = 5
ENDLESS = {
    "sqlite": "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT {} FROM numbers",
    "postgresql": "SELECT {} FROM pg_sleep(600)",
}


def make_endless(admin: Admin) -> None:
    """Whoever reads the comparisons with the bill, which no image needs, waits until the read is ended."""
    engine = admin.gateway.store.engine
    columns = ", ".join(f"{0 if name.endswith(('_ms', 's', 'd')) else repr('')} AS {name}" for name in _columns())
    with writing(engine) as connection:
        connection.execute(text("DROP TABLE reconciliations"))
        connection.execute(text(f"CREATE VIEW reconciliations AS {ENDLESS[engine.dialect.name].format(columns)}"))


def _columns() -> list[str]:
    return [column.name for column in reconciliations.c]


def test_reads_that_do_not_end_delay_no_image_and_are_ended(admin: Admin, sandbox: SandboxServer) -> None:
    key = admin.key_of("alice")
    assert buy(admin, key).status_code == 200
    make_endless(admin)
    began = time.monotonic()

    def read(_: int) -> tuple[httpx2.Response, float]:
        return admin.get("/reconciliations"), time.monotonic() - began

    with ThreadPoolExecutor(READERS) as pool:
        reads = [pool.submit(read, number) for number in range(READERS)]
        wait_until(lambda: all(each.running() for each in reads), "all of them ask")
        assert buy(admin, key).status_code == 200
        assert not any(each.done() for each in reads), "the image came while the reads ran"
        ended = [each.result() for each in reads]
    for answer, seconds in ended:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
        assert "ask for less" in answer.json()["error"]["message"]
        assert seconds > DEADLINE_SECONDS - 0.5
    assert admin.get("/users").status_code == 200
    admin.gateway.store.settled(2)
    assert admin.gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_a_report_of_too_many_sums_is_refused(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "ROWS_MAX", ROWS_MAX)
    yesterday = to_ms(utc_now()) // 86_400_000 * 86_400_000 - 86_400_000
    row = {"day_start_ms": yesterday, **dict.fromkeys(TOTAL_WORDS, "w"), **dict.fromkeys(TOTAL_SUMS, 1)}
    path = f"/v1/organization/usage/images?start_time={yesterday // 1000}&group_by=user_id"
    with writing(admin.gateway.store.engine) as connection:
        connection.execute(insert(usage_days), [row | {"user_id": f"u{number}"} for number in range(ROWS_MAX)])
    (bucket, *_) = admin.get(path).json()["data"]
    assert len(bucket["results"]) == ROWS_MAX
    with writing(admin.gateway.store.engine) as connection:
        connection.execute(insert(usage_days), [row | {"user_id": "one more"}])
    refused = admin.get(path)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "start_time")
    assert f"more than {ROWS_MAX} sums" in refused.json()["error"]["message"]
    page = admin.get("/usage?by=user&limit=1000")
    assert (page.status_code, page.json()["has_more"]) == (200, True)
