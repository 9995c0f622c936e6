"""`ledger reconcile`: what is asked, shown, kept, and the exit code. tests/e2e/test_reconcile.py buys real images."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.database.engine import opened, reading
from app.database.schema import total_tables
from app.settings.settings import Settings
from tests.cli.commands.test_ledger import write
from tests.cli.commands.test_usage import reservation
from tests.cli.conftest import NOW, Cli
from tests.raw_upstream import RawRequest, RawUpstream, document

KEY = "sk-mg-v1-secret"
YESTERDAY = NOW - timedelta(days=1)
COST = 5_970_001  # of a reservation of tests/cli/test_usage.py


class Bill:
    """A ZenMux that answers every question with the same bill."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.head = "200 OK"

    def says(self, model: str, requests: int, nanousd: int) -> None:
        self.entries.append({"modelSlug": model, "requestCounts": requests, "billAmount": nanousd / 1e9})

    async def answer(self, _: RawRequest, writer: Any) -> None:
        body = json.dumps({"success": True, "data": {"analysis": {"costByModel": self.entries}}}).encode()
        writer.write(document(body).replace(b"200 OK", self.head.encode()))


@pytest.fixture
def bill() -> Bill:
    return Bill()


@pytest.fixture
def zenmux(bill: Bill) -> Iterator[RawUpstream]:
    with RawUpstream(bill.answer) as server:
        yield server


@pytest.fixture
def ready(cli: Cli, zenmux: RawUpstream) -> Cli:
    cli("db", "upgrade")
    cli.environment |= {"ZENMUX_BASE_URL": zenmux.url, "ZENMUX_MANAGEMENT_KEY": KEY}
    return cli


def stored(cli: Cli) -> list[tuple[Any, ...]]:
    table = total_tables.reconciliations
    with opened(Settings(_env_file=None, data_dir=cli.data_dir).database) as engine, reading(engine) as connection:
        columns = (table.c.model, table.c.ledger_requests, table.c.ledger_nanousd, table.c.billed_nanousd)
        return [tuple(row) for row in connection.execute(select(*columns).order_by(table.c.model))]


def test_yesterday_is_compared_and_equal(ready: Cli, bill: Bill, zenmux: RawUpstream) -> None:
    write(ready, reservation(1, YESTERDAY), reservation(2, NOW))
    bill.says("openai/gpt-image-2", 1, COST)
    answer = ready.json("ledger", "reconcile")
    assert zenmux.requests[0].line.endswith("query_time=20261123 HTTP/1.1")
    assert (answer["day"], answer["verdict"], answer["explained"]) == ("2026-11-23", "equal", True)
    [model] = answer["models"]
    assert model.items() >= {
        "model": "openai/gpt-image-2", "ledger_requests": 1, "billed_requests": 1, "drift_requests": 0,
        "ledger_usd": "0.005970001", "ledger_nanousd": COST, "billed_nanousd": COST, "drift_usd": "0.00",
        "drift_nanousd": 0, "estimated_requests": 0, "unpriced_requests": 0, "pruned": False, "verdict": "equal",
    }.items()  # fmt: skip
    assert {**answer["total"], "model": model["model"]} == model
    assert answer["elsewhere"] == []
    assert stored(ready) == [("openai/gpt-image-2", 1, COST, COST)]
    assert "The ledger is what ZenMux billed." in ready("ledger", "reconcile").stderr


def test_drift_is_shown_by_model_and_in_total_with_exit_code_1(ready: Cli, bill: Bill) -> None:
    write(
        ready,
        reservation(1, NOW),
        reservation(2, NOW, usage_source="estimated", state="expired"),
        reservation(3, NOW, model="openai/gpt-image-1.5"),
    )
    bill.says("gpt-image-2", 1, 1_000_000)
    bill.says("gpt-image-1.5", 1, COST)
    bill.says("maker/chat", 3, 2_000_000_000)
    shown = ready("ledger", "reconcile", "--day", "2026-11-24", code=1)
    first, second, total = (line for line in shown.stdout.splitlines() if re.match(r"openai|total", line))
    assert re.search(r"gpt-image-1\.5 +1 +1 +\$0\.005970001 +\$0\.005970001 +0\.00 +- +- +equal", first)
    assert re.search(
        r"gpt-image-2 +2 +1 +\$0\.011940002 +\$0\.001 +0\.010940002 +1 \(\$0\.005970001\) +- +drift", second
    )
    assert re.search(r"total +3 +2 +\$0\.017910003 +\$0\.006970001 +0\.010940002 .* drift", total)
    assert "Estimates of processes that died: 1 ($0.005970001)." in shown.stderr
    assert "The day is not over." in shown.stderr
    assert "$2.00 for 1 other models (maker/chat)" in shown.stderr
    assert "no estimate explains" in shown.stderr
    assert len(stored(ready)) == 2


def test_estimates_and_midnight_are_told(ready: Cli, bill: Bill) -> None:
    ends_late = {"resolved_at_ms": int((NOW + timedelta(days=1)).timestamp() * 1000)}
    write(ready, reservation(1, NOW, usage_source="estimated"), reservation(2, NOW, **ends_late))
    bill.says("gpt-image-2", 1, COST)
    shown = ready("ledger", "reconcile", "--day", "2026-11-24")
    assert "marked as estimates" in shown.stderr
    assert "ended after it, counted here: 1 ($0.005970001)" in shown.stderr
    bill.entries = []
    shown = ready("ledger", "reconcile", "--day", "2026-11-24", code=1)
    assert "a question of when" in shown.stderr
    ready.now += timedelta(days=1)
    assert "ended on this one, counted there: 1" in ready("ledger", "reconcile", "--day", "2026-11-25").stderr


def test_a_pinned_provider_is_billed_as_its_model(ready: Cli, bill: Bill) -> None:
    catalog = ready.data_dir / "models.toml"
    catalog.write_text('[models."gpt-image-2-azure"]\nid = "openai/gpt-image-2:azure"\nlike = "gpt-image-2"\n')
    ready.environment["GATEWAY_CATALOG_FILE"] = str(catalog)
    write(ready, reservation(1, NOW), reservation(2, NOW, model="openai/gpt-image-2:azure"))
    bill.says("openai/gpt-image-2", 2, 2 * COST)
    assert ready.json("ledger", "reconcile", "--day", "2026-11-24")["verdict"] == "equal"


def test_a_day_without_use_is_kept_too(ready: Cli) -> None:
    assert ready.json("ledger", "reconcile")["models"] == []
    assert stored(ready) == [("", 0, 0, 0)]


@pytest.mark.parametrize(
    ("day", "told"),
    [("24.11.2026", "is not a day"), ("yesterday", "is not a day"), ("2026-11-25", "is still to come"), ("", "is not")],
)
def test_a_day_that_is_none_is_wrong_use(ready: Cli, zenmux: RawUpstream, day: str, told: str) -> None:
    assert told in ready("ledger", "reconcile", "--day", day, code=2).stderr
    assert zenmux.requests == []


def test_what_zenmux_refuses_is_told_and_nothing_is_kept(ready: Cli, bill: Bill) -> None:
    bill.head = "403 Forbidden"
    told = ready("ledger", "reconcile", code=1).output
    assert "refuses ZENMUX_MANAGEMENT_KEY (403)" in told
    assert KEY not in told
    assert stored(ready) == []


def test_without_a_key_or_a_ledger_nobody_is_asked(cli: Cli, zenmux: RawUpstream) -> None:
    cli.environment["ZENMUX_BASE_URL"] = zenmux.url
    assert "There is no database yet" in cli("ledger", "reconcile", code=1).stderr
    cli("db", "upgrade")
    assert "ZENMUX_MANAGEMENT_KEY is not set" in cli("ledger", "reconcile", code=1).stderr
    cli.environment["ZENMUX_MANAGEMENT_KEY"] = "sk-ai-v1-secret"
    told = cli("ledger", "reconcile", code=1).output
    assert "ZENMUX_MANAGEMENT_KEY: a management key begins with sk-mg-" in told
    assert "secret" not in told
    assert zenmux.requests == []
