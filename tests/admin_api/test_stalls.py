"""The admin API does not hold the event loop, however long its answers are: rows are shaped and written in threads."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from app.database.clock import to_ms
from app.database.engine import writing
from app.database.schema import identity_tables, limit_tables, total_tables
from app.database.schema.total_tables import TOTAL_SUMS
from app.main import utc_now
from tests.admin_api.conftest import ADMIN_KEY
from tests.loop_stall import assert_no_stall
from tests.servers import GatewayProcess

ROWS = 49_000  # 50,000 sums are the most that a report has
KEYS = 20_000
TODAY = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
START = int(TODAY.timestamp()) - 86_400
JSON, CSV = "application/json", "text/csv"
DEAREST = (
    (f"/v1/organization/usage/images?start_time={START}&group_by=user_id", JSON),
    (f"/v1/organization/costs?start_time={START}&group_by=user_id", JSON),
    ("/admin/v1/usage?by=user&limit=1000", CSV),
    ("/admin/v1/refusals?limit=1000", JSON),
    ("/admin/v1/reconciliations?limit=1000", JSON),
    ("/admin/v1/users?limit=1000", CSV),
    ("/admin/v1/keys?limit=1000", JSON),
    ("/admin/v1/keys?limit=1000", CSV),
    ("/admin/v1/limits?limit=1000", JSON),
)


def fill(engine: Engine) -> None:
    """People, limits and sums, many of each."""
    day_ms = to_ms(TODAY) - 86_400_000
    words = dict.fromkeys(("key_id", "team_id", "model", "operation", "size", "quality", "outcome", "account"), "w")
    sums = dict.fromkeys(TOTAL_SUMS, 1)
    billed = dict.fromkeys(("ledger_requests", "ledger_nanousd", "billed_requests", "billed_nanousd"), 1)
    limit = {"scope": "key", "unit": "images", "window": "day", "model": "", "amount": 9, "shadow": False}
    key = {"name": None, "created_at_ms": 0}
    with writing(engine) as connection:
        for table, count, row in (
            (identity_tables.users, 2000, lambda n: {"id": f"u{n}", "name": f"User {n}", "created_at_ms": 0}),
            (identity_tables.keys, KEYS, lambda n: {"id": f"k{n}", "user_id": f"u{n % 2000}", **key}),
            (limit_tables.limits, KEYS, lambda n: {"scope_id": f"k{n}", "created_at_ms": 0, **limit}),
            (total_tables.usage_days, ROWS, lambda n: {"day_start_ms": day_ms, "user_id": f"u{n}", **words, **sums}),
            (
                total_tables.refusal_hours,
                ROWS,
                lambda n: {"hour_start_ms": day_ms, "user_id": f"u{n}", "key_id": "", "code": "c", "count": 1},
            ),
            (
                total_tables.reconciliations,
                ROWS,
                lambda n: {"day_start_ms": day_ms, "model": f"m{n}", "account": "", "checked_at_ms": 0, **billed},
            ),
        ):
            connection.execute(insert(table), [row(number) for number in range(count)])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    data_dir: Path = tmp_path_factory.mktemp("stall") / "data"
    settings = {"GATEWAY_LOG_LEVEL": "error", "GATEWAY_ADMIN_KEY": ADMIN_KEY}
    with GatewayProcess(data_dir, "http://127.0.0.1:9/v1", module="tests.loop_stall", **settings) as running:
        fill(running.store.engine)
        yield running


@pytest.mark.parametrize(("path", "accept"), DEAREST)
def test_no_list_holds_the_loop(gateway: GatewayProcess, path: str, accept: str) -> None:
    headers = {"authorization": f"Bearer {ADMIN_KEY}", "accept": accept}

    def ask() -> None:
        with urllib.request.urlopen(urllib.request.Request(f"{gateway.root}{path}", headers=headers)) as answer:
            assert len(answer.read()) > 10

    assert_no_stall(gateway.root, ask)
