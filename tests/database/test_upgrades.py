"""Databases of every earlier schema, with rows in every table: they become today's with all they held, or stay."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, func, select

from app.database import migrate, migrations
from app.database.engine import create_engine, reading
from app.database.schema import ledger_tables
from app.errors import Conflict
from app.quotas.reports.limit_status import read_limit_status
from app.quotas.reports.usage import Grouping, usage_report
from tests.database.old_stores import KEY_ID, dump_of, restore
from tests.database.test_migrate import STEP, described
from tests.database.todays_schema import todays_tables
from tests.quotas.making import NOON, StillClock, a_hold, errors, prune_all, reports, running_ledger, settled

TODAY = migrations.HEAD
STEPS = ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions()
OLD = sorted(step.revision for step in STEPS if step.revision != TODAY)
BETWEEN = pytest.mark.long("the oldest and the newest are upgraded in every run")
THEN = NOON - timedelta(days=8)  # when the last request of the dumps was made
MONTHS_AGO = NOON.replace(hour=0, minute=0, second=0) - timedelta(days=40)


@pytest.fixture(params=[OLD[0], *(pytest.param(each, marks=BETWEEN) for each in OLD[1:-1]), OLD[-1]])
def version(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def old(empty_store_url: str, version: str) -> Iterator[Engine]:
    engine = create_engine(empty_store_url)
    restore(engine, version)
    yield engine
    engine.dispose()


def held(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Everything in the database but its version."""
    found = MetaData()
    found.reflect(engine)
    with engine.connect() as connection:
        return {
            name: [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]
            for name, table in found.tables.items()
            if name != "alembic_version"
        }


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_earlier_schema_has_a_dump(version: str, kind: str) -> None:
    assert dump_of(version, kind).is_file(), "CONTRIBUTING.md says how it is made"


def test_there_is_a_row_in_every_table(old: Engine, version: str) -> None:
    assert migrate.current(old) == version
    assert [name for name, rows in held(old).items() if not rows] == []


def test_an_upgrade_keeps_every_row_and_makes_todays_schema(old: Engine, version: str) -> None:
    before = held(old)
    migrate.upgrade(old)
    assert migrate.is_current(old)
    after = held(old)
    if version < "0007":  # its totals of days did not say so much, and had only what was pruned
        old_days = before.pop("usage_days", [])
        assert [row for row in after["usage_days"] if not row["operation"]] == [
            dict.fromkeys(("operation", "size", "quality", "outcome"), "") | {"account": "main", "refused": 0} | row
            for row in old_days
        ]
    for name, rows in before.items():
        kept = [{column: row[column] for column in was} for was, row in zip(rows, after[name], strict=True)]
        assert kept == rows, name
    with old.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), todays_tables()) == []


async def test_the_ledger_goes_on(old: Engine, version: str) -> None:
    """Counters, reports and limits say what they said; what was pending is settled; the past can be pruned."""
    migrate.upgrade(old)
    assert errors(old) == []
    with reading(old) as connection:
        (alice,) = usage_report(connection, Grouping.USER)
        pruned = 9 - connection.execute(select(func.count(ledger_tables.reservations.c.id))).scalar_one()
    assert (alice.name, alice.requests, alice.pending, alice.released) == ("alice", 9, 1, 2)
    late, less = (1, 20_000_000) if version >= "0003" else (0, 0)  # what the correction took back: an image, $0.02
    assert (alice.estimated, alice.unpriced) == (2 - late, 1)
    assert (alice.images, alice.nanousd) == (8 - late, 1_654_567_891 - less)
    async with running_ledger(old, StillClock(THEN), instance="today") as ledger:
        statuses = read_limit_status(old, KEY_ID, "user_alice", "team_design", THEN)
        assert [(status.written, status.used, status.pending) for status in statuses] == [
            ("requests:50/hour", 1, 1),
            ("concurrent:2", 1, 1),
            ("images:100/day", 2, 2),
            ("usd:5.50/month@openai/gpt-image-2", 100_000_000, 100_000_000),
            ("usd:1000.00/total", 1_754_567_891 - less, 100_000_000),
        ]
        await ledger.resolve("req_8", settled(THEN, images=2))
        await ledger.reserve(a_hold("new", at=THEN, key_id=KEY_ID, user_id="user_alice", team_id="team_design"))
        assert errors(old) == []
        said = reports(old)
        assert prune_all(old, MONTHS_AGO) == 5 - pruned
        assert reports(old) == said
        assert errors(old) == []


@pytest.mark.parametrize("ending", ["raise ZeroDivisionError", 'op.execute("UPDATE teams SET no_such_column = 1")'])
def test_a_failing_upgrade_leaves_the_old_database(old: Engine, version: str, later_version: Path, ending: str) -> None:
    """Also the steps before the one that fails: all or none."""
    before, looked = held(old), described(old)
    later_version.write_text(STEP.format(now=TODAY, later=migrations.HEAD, ending=ending))
    with pytest.raises((ZeroDivisionError, Conflict)):
        migrate.upgrade(old)
    assert migrate.current(old) == version
    assert described(old) == looked
    assert held(old) == before
