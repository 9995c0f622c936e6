"""The ledger's care: proved, closed, pruned with rests."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from app.admin.ledger import audit, expire, plan_prune, prune
from app.admin.operator import Operator
from app.database.schema import ledger_tables
from app.errors import InvalidValue, RemoteFailure
from app.settings.settings import Settings
from tests.admin.conftest import NOW
from tests.cli.commands.test_usage import reservation
from tests.quotas.making import add_totals_up


def add(operator: Operator, *rows: dict[str, object]) -> None:
    with operator.writing() as connection:
        connection.execute(insert(ledger_tables.reservations), list(rows))
        add_totals_up(connection)


def test_an_audit_of_a_right_ledger_is_clean(operator: Operator) -> None:
    add(operator, reservation(1, NOW))
    found = audit(operator)
    assert (found.wrong, found.as_json()) == (0, {"clean": True, "findings": []})
    with pytest.raises(RemoteFailure, match="generations"):
        audit(operator, {"bill": "no"})


def test_there_is_nothing_to_close_in_an_empty_ledger(operator: Operator, tmp_path: Path) -> None:
    assert asyncio.run(expire(operator, Settings(_env_file=None, data_dir=tmp_path / "data"))) == []
    assert not (tmp_path / "data").exists()


def test_a_prune_rests_as_long_as_it_works(operator: Operator) -> None:
    add(operator, *(reservation(number, NOW - timedelta(days=400)) for number in range(3)), reservation(9, NOW))
    plan = plan_prune(operator, timedelta(days=100))
    assert (plan.records, plan.pending) == (3, 0)
    rests: list[float] = []
    times = iter(range(0, 100, 5))
    steps = list(prune(operator, plan, rests.append, lambda: float(next(times))))
    assert sum(step.records for step in steps) == 3
    assert rests == [5.0] * len(steps)
    assert plan.as_json(3) == {"before": "2026-08-16T00:00:00Z", "pruned": 3, "pending": 0}
    assert plan_prune(operator, timedelta(days=100)).records == 0


def test_what_is_too_young_is_never_pruned(operator: Operator) -> None:
    with pytest.raises(InvalidValue, match="35d or more"):
        plan_prune(operator, timedelta(days=34))
