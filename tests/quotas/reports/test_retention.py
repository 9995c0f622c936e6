"""Pruning changes no counter and no report, loses and doubles nothing, and holds nobody up."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from datetime import datetime, timedelta
from itertools import islice, pairwise
from typing import Any

import pytest
from sqlalchemy import Engine, Table, delete, event, func, select, update

from app.database.changes import list_changes
from app.database.clock import to_ms
from app.database.engine import create_engine, reading, writing
from app.database.schema import total_tables
from app.errors import Conflict
from app.quotas.ledger.ledger import Ledger
from app.quotas.reports.audit import audit
from app.quotas.reports.bill_check import compare_with_bill
from app.quotas.reports.findings import Severity
from app.quotas.reports.limit_status import read_limit_status
from app.quotas.reports.overview import read_overview
from app.quotas.reports.retention import MIN_AGE, cutoff_of, find_prunable, prune, pruned_until
from app.quotas.reports.usage import Grouping, usage_report
from app.quotas.rules.limits import format_limit
from app.quotas.rules.reservation import Resolution
from tests.quotas.making import (
    NOON,
    StillClock,
    a_change,
    a_hold,
    add_rows,
    errors,
    on_gateway,
    on_key,
    on_team,
    on_user,
    prune_all,
    reports,
    rows,
    running_ledger,
    set_limits,
    settled,
)

MIDNIGHT = NOON.replace(hour=0, minute=0, second=0)
FIRST = MIDNIGHT - timedelta(days=70)
CUTOFF = MIDNIGHT - timedelta(days=35)
LONG_AGO = CUTOFF - timedelta(days=1)
LIMITS = (
    on_gateway("usd:1000000/total"),
    on_gateway("images:1000000/total@openai/other"),
    on_team("tokens:1000000000/month"),
    on_user("requests:1000000/week"),
    on_key("images:100000/day"),
    on_key("requests:100000/hour"),
    on_key("concurrent:1000"),
)


def totals(engine: Engine) -> int:
    with reading(engine) as connection:
        return int(connection.execute(select(func.sum(total_tables.usage_days.c.requests))).scalar_one() or 0)


def resolved(engine: Engine) -> int:
    return sum(row["state"] != "pending" for row in rows(engine).values())


class TestCutoff:
    def test_whole_days_older_than_that(self) -> None:
        assert cutoff_of(NOON, MIN_AGE) == CUTOFF
        assert cutoff_of(MIDNIGHT, MIN_AGE) == CUTOFF
        assert cutoff_of(MIDNIGHT - timedelta(milliseconds=1), MIN_AGE) == CUTOFF - timedelta(days=1)

    def test_too_young_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"at least 35 days.*35d or more"):
            cutoff_of(NOON, MIN_AGE - timedelta(seconds=1))


class TestPrune:
    def test_reports_and_counters_stay_what_they_are(self, engine: Engine) -> None:
        add_rows(engine, 500, FIRST, NOON)
        before, pending = reports(engine), {id_ for id_, row in rows(engine).items() if row["state"] == "pending"}
        with reading(engine) as connection:
            found = find_prunable(connection, CUTOFF)
        assert found.records > 100
        assert found.pending > 10
        assert prune_all(engine, CUTOFF, records_max=37) == found.records
        assert totals(engine) == found.records + resolved(engine)
        left = rows(engine)
        assert len(left) == 500 - found.records
        assert pending <= left.keys()
        assert all(row["reserved_at_ms"] >= to_ms(CUTOFF) for row in left.values() if row["state"] != "pending")
        assert reports(engine) == before
        assert errors(engine) == []

    def test_again_it_does_nothing(self, engine: Engine) -> None:
        add_rows(engine, 100, FIRST, NOON)
        assert prune_all(engine, CUTOFF) > 0
        before = reports(engine)
        assert prune_all(engine, CUTOFF) == 0
        assert reports(engine) == before
        with reading(engine) as connection:
            assert len(list(list_changes(connection, 10))) == 1

    def test_later_days_join_the_totals_that_are_there(self, engine: Engine) -> None:
        add_rows(engine, 300, FIRST, NOON)
        before = reports(engine)
        for days in (60, 50, 49, 0):
            prune_all(engine, MIDNIGHT - timedelta(days=days))
            assert reports(engine) == before

    def test_many_of_one_moment_are_no_endless_loop(self, engine: Engine) -> None:
        add_rows(engine, 50, LONG_AGO, LONG_AGO)
        assert prune_all(engine, CUTOFF, records_max=7) == totals(engine) > 30
        assert resolved(engine) == 0

    def test_it_is_recorded_before_it_happens(self, engine: Engine) -> None:
        add_rows(engine, 100, LONG_AGO, LONG_AGO)
        with reading(engine) as connection:
            records = find_prunable(connection, CUTOFF).records
        steps = prune(engine, CUTOFF, a_change(), 10)
        next(steps)
        with reading(engine) as connection:
            (change,) = list_changes(connection, 10)
        assert (change.action, change.target, change.actor) == ("ledger.prune", "records before 2026-10-20", "tester")
        assert (change.before, change.after) == ({"records": records}, None)

    def test_only_whole_days(self, engine: Engine) -> None:
        with pytest.raises(AssertionError, match="whole"):
            prune_all(engine, NOON)

    @pytest.mark.parametrize("where", ["DELETE FROM corrections", "DELETE FROM reservations", "COMMIT"])
    def test_a_step_that_fails_changes_nothing(self, engine: Engine, where: str) -> None:
        add_rows(engine, 100, FIRST, NOON)
        before, left = reports(engine), rows(engine)
        steps = prune(engine, CUTOFF, a_change(), 20)
        next(steps)

        @event.listens_for(engine, "before_cursor_execute")
        def strike(_: object, __: object, text: str, *___: object) -> None:
            if text.startswith(where):
                raise ZeroDivisionError

        @event.listens_for(engine, "commit")
        def strike_too(_: object) -> None:
            if where == "COMMIT":
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            next(steps)
        event.remove(engine, "before_cursor_execute", strike)
        event.remove(engine, "commit", strike_too)
        assert len(rows(engine)) == len(left) - 20
        assert reports(engine) == before

    def test_left_in_the_middle_and_begun_again(self, engine: Engine) -> None:
        add_rows(engine, 300, FIRST, NOON)
        before = reports(engine)
        for _ in range(100):
            done = list(islice(prune(engine, CUTOFF, a_change(), 11), 2))
            assert reports(engine) == before
            if not done:
                break
        assert totals(engine) > 100
        assert errors(engine) == []

    def test_two_at_once(self, engine: Engine, store_url: str) -> None:
        add_rows(engine, 400, FIRST, NOON)
        before = reports(engine)
        other = create_engine(store_url)
        with ThreadPoolExecutor() as threads:
            done = list(threads.map(lambda one: prune_all(one, CUTOFF, 5), (engine, other)))
        assert sum(done) == totals(engine) - resolved(engine) > 100
        other.dispose()
        assert reports(engine) == before
        assert errors(engine) == []


PRUNE = """
import sys
import time
from datetime import datetime
from app.database.changes import Change
from app.database.engine import create_engine
from app.quotas.reports.retention import prune
cutoff = datetime.fromisoformat(sys.argv[2])
steps = prune(create_engine(sys.argv[1]), cutoff, Change("killed", cutoff, lambda: "x"), 3)
while sys.stdin.readline():
    print(next(steps).records, flush=True)
"""


def test_killed_at_any_moment_it_loses_and_doubles_nothing(engine: Engine, store_url: str) -> None:
    add_rows(engine, 600, FIRST, NOON)
    before = reports(engine)
    for steps in (1, 3, 7):
        arguments = [sys.executable, "-c", PRUNE, store_url, CUTOFF.isoformat()]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for _ in range(steps):
                print("on", file=process.stdin, flush=True)
                assert process.stdout.readline() == "3\n"
            print("and now somewhere in the middle", file=process.stdin, flush=True)
            time.sleep(steps / 1000)
            os.kill(process.pid, signal.SIGKILL)
        assert reports(engine) == before
    with reading(engine) as connection:
        assert find_prunable(connection, CUTOFF).records > 0
    prune_all(engine, CUTOFF)
    assert reports(engine) == before
    assert errors(engine) == []


async def test_beside_ledgers_at_work(engine: Engine, store_url: str) -> None:
    """Limits of every scope look at what is pruned; late settlements, sweeps and edits of limits go on meanwhile."""
    set_limits(engine, *LIMITS)
    clock = StillClock()
    other = create_engine(store_url)
    add_rows(engine, 600, FIRST, CUTOFF)
    late = [id_ for id_, row in rows(engine).items() if row["state"] == "pending"]
    charged = 0

    async def work(ledger: Ledger, name: str) -> None:
        nonlocal charged
        for number in range(40):
            await ledger.reserve(a_hold(f"{name}-{number}", key_id=f"key-{number % 3}"))
            if late:
                assert await ledger.resolve(late.pop(), settled()) is Resolution.DONE
                charged += 1
            await ledger.resolve(f"{name}-{number}", settled())

    def edit_and_prune() -> None:
        for step in prune(engine, CUTOFF, a_change(), 9):
            if step.records % 2:
                set_limits(engine, *LIMITS)

    async with running_ledger(engine, clock) as one, running_ledger(other, clock, instance="two") as two:
        await asyncio.gather(work(one, "a"), work(two, "b"), asyncio.to_thread(edit_and_prune))
        limit_statuses = read_limit_status(engine, "key-1", "user-1", "team-1", NOON)
        await two.expire(NOON)
    other.dispose()
    prune_all(engine, CUTOFF)
    assert charged > 0
    assert {format_limit(status.limit) for status in limit_statuses} >= {"usd:1000000.00/total", "concurrent:1000"}
    assert errors(engine) == []


async def test_a_limit_set_after_a_prune_counts_what_was_pruned(engine: Engine) -> None:
    add_rows(engine, 200, FIRST, NOON)
    with reading(engine) as connection:
        used = sum(row.images for row in usage_report(connection, Grouping.MODEL))
    prune_all(engine, CUTOFF)
    pending = sum(row["held_images"] for row in rows(engine).values() if row["state"] == "pending")
    set_limits(engine, on_gateway(f"images:{used + pending + 1}/total"))
    async with running_ledger(engine) as ledger:
        await ledger.reserve(a_hold("fits"))
        with pytest.raises(Exception, match="images"):
            await ledger.reserve(a_hold("one too many"))
    assert errors(engine) == []


async def test_an_old_hour_is_no_finding(engine: Engine) -> None:
    """A late settlement makes the hour's counter once more; what it counted is pruned before the sweep deletes it."""
    set_limits(engine, on_key("images:1000/hour"), on_key("images:1000/day"))
    clock = StillClock(LONG_AGO)
    async with running_ledger(engine, clock) as ledger:
        for id_ in ("early", "late"):
            await ledger.reserve(a_hold(id_, at=LONG_AGO))
        await ledger.resolve("early", settled(LONG_AGO))
        assert prune_all(engine, CUTOFF) == 1
        await ledger.resolve("late", settled(NOON))
        assert prune_all(engine, CUTOFF) == 1
        assert errors(engine) == []


class TestEdges:
    @pytest.fixture
    def pruned(self, engine: Engine) -> Engine:
        add_rows(engine, 300, FIRST, NOON)
        prune_all(engine, CUTOFF)
        return engine

    def test_whole_days_add_up(self, pruned: Engine) -> None:
        with reading(pruned) as connection:
            whole = sum(row.requests for row in usage_report(connection, Grouping.DAY))
            edge = FIRST + timedelta(days=20)
            earlier = list(usage_report(connection, Grouping.DAY, None, edge))
            later = list(usage_report(connection, Grouping.DAY, edge, None))
        assert sum(row.requests for row in (*earlier, *later)) == whole == 300
        assert earlier[-1].id < f"{edge:%Y-%m-%d}" <= later[0].id

    @pytest.mark.parametrize("side", ["since", "until"])
    def test_an_hour_is_not_cut_in_two(self, pruned: Engine, side: str) -> None:
        inside = FIRST + timedelta(days=20, hours=3, minutes=1)
        with reading(pruned) as connection, pytest.raises(Conflict, match="2026-10-05 03:00 or 2026-10-05 04:00"):
            usage_report(connection, Grouping.USER, **{side: inside})

    @pytest.mark.parametrize("side", ["since", "until"])
    def test_an_old_day_without_hours_is_not_cut_in_two(self, pruned: Engine, side: str) -> None:
        """As a prune left it before there were totals of hours."""
        with writing(pruned) as connection:
            connection.execute(update(total_tables.usage_days).values(operation="", size="", quality=""))
        inside = FIRST + timedelta(days=20, hours=3)
        with reading(pruned) as connection, pytest.raises(Conflict, match="2026-10-05 or 2026-10-06"):
            usage_report(connection, Grouping.USER, **{side: inside})

    @pytest.mark.parametrize("by", list(Grouping))
    def test_parts_add_up_wherever_they_are_cut(self, engine: Engine, by: Grouping) -> None:
        """Days, hours and single records: a report says the same, however its time is divided."""
        add_rows(engine, 300, FIRST, NOON)
        early, late = FIRST + timedelta(days=3, hours=5), NOON - timedelta(hours=3, seconds=9)
        edges = [early, CUTOFF + timedelta(minutes=7), late]

        def summed(*spans: tuple[datetime | None, datetime | None]) -> dict[str, tuple[int, ...]]:
            found: dict[str, tuple[int, ...]] = {}
            with reading(engine) as connection:
                for since, until in spans:
                    for row in usage_report(connection, by, since, until):
                        sums = astuple(row)[2:]
                        found[row.id] = tuple(map(sum, zip(found.get(row.id, (0,) * len(sums)), sums, strict=True)))
            return found

        whole = summed((None, None))
        assert sum(sums[0] for sums in whole.values()) == 300
        assert summed(*pairwise([None, *edges, None])) == whole

    def test_days_with_records_may_be(self, pruned: Engine) -> None:
        with reading(pruned) as connection:
            assert list(usage_report(connection, Grouping.USER, CUTOFF + timedelta(hours=3), NOON))


def test_the_horizon_is_where_the_last_prune_ended_and_never_moves_back(engine: Engine) -> None:
    add_rows(engine, 20, LONG_AGO, LONG_AGO)
    with reading(engine) as connection:
        assert pruned_until(connection) is None
    prune_all(engine, MIDNIGHT)
    with reading(engine) as connection:
        assert pruned_until(connection) == MIDNIGHT
    prune_all(engine, CUTOFF)
    with reading(engine) as connection:
        assert pruned_until(connection) == MIDNIGHT


class TestAudit:
    def entry(self, number: int, at: object) -> dict[str, object]:
        return {
            "request_id": f"up-{number}",
            "at": at,
            "model": "openai/gpt-image-2",
            "n": 1,
            "input_tokens": 50,
            "output_tokens": 750,
            "cost_usd": "0.08",
        }

    async def test_the_bill_may_know_more_than_the_ledger_remembers(self, engine: Engine) -> None:
        moments = [LONG_AGO, CUTOFF - timedelta(seconds=1), CUTOFF + timedelta(hours=3), NOON]
        clock = StillClock()
        async with running_ledger(engine, clock) as ledger:
            for number, at in enumerate(moments):
                await ledger.reserve(a_hold(f"r{number}", at=at))
                await ledger.resolve(f"r{number}", settled(at, upstream_request_id=f"up-{number}"))
        billed = [at + timedelta(minutes=1) for at in moments]
        bill = {"generations": [self.entry(number, at.isoformat()) for number, at in enumerate(billed)]}
        prune_all(engine, CUTOFF)
        with reading(engine) as connection:
            found = compare_with_bill(connection, bill)
        assert [(one.severity, one.check) for one in found] == [
            (Severity.INFO, "bill_pruned"),
            (Severity.INFO, "bill_total"),
        ]
        assert found[0].message == "2 entries of the bill are of days before 2026-10-20, of which only totals are kept"
        lost = {"generations": [*bill["generations"], self.entry(9, NOON.isoformat())]}
        with reading(engine) as connection:
            assert "bill_unrecorded" in [one.check for one in compare_with_bill(connection, lost)]

    @pytest.mark.parametrize(
        "change", [{"charged_images": -1}, {"day_start_ms": 1}, {"released": 1000}, {"refused": 1000}]
    )
    def test_totals_that_cannot_be_are_found(self, engine: Engine, change: dict[str, int]) -> None:
        add_rows(engine, 20, LONG_AGO, LONG_AGO)
        prune_all(engine, CUTOFF)
        with writing(engine) as connection:
            first = connection.execute(select(total_tables.usage_days).limit(1)).one()
            where = [column == value for column, value in zip(total_tables.usage_days.c, first, strict=True)]
            connection.execute(update(total_tables.usage_days).where(*where).values(**change))
        assert {finding.check for finding in errors(engine)} == {"totals"}

    async def test_a_total_that_is_lost_is_found(self, engine: Engine) -> None:
        set_limits(engine, on_gateway("images:1000000/total"))
        async with running_ledger(engine) as ledger:
            await ledger.reserve(a_hold("r1", at=LONG_AGO))
            await ledger.resolve("r1", settled(LONG_AGO))
        prune_all(engine, CUTOFF)
        assert errors(engine) == []
        with writing(engine) as connection:
            connection.execute(update(total_tables.usage_days).values(charged_images=0))
        with reading(engine) as connection:
            found = [one.check for one in audit(connection, NOON) if one.severity is Severity.ERROR]
        assert found == ["counters", "totals"]

    @pytest.mark.parametrize("table", [total_tables.usage_hours, total_tables.usage_days], ids=lambda table: table.name)
    @pytest.mark.parametrize("how", ["more", "moved", "lost"])
    async def test_a_total_that_is_not_the_sum_of_its_records_is_found(
        self, engine: Engine, table: Table, how: str
    ) -> None:
        add_rows(engine, 50, LONG_AGO, NOON)
        assert errors(engine) == []
        wrong = {
            "more": update(table).values(output_image_tokens=table.c.output_image_tokens + 1),
            "moved": update(table).values(size="1x1"),
            "lost": delete(table),
        }
        with writing(engine) as connection:
            connection.execute(wrong[how])
        assert {finding.check for finding in errors(engine)} == {"totals"}


@pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True)
async def test_sweep_start_and_scrape_read_no_past_records(engine: Engine) -> None:
    """Their plans: of the reservations they read the partial index of what is pending."""
    set_limits(engine, *LIMITS)
    asked: list[tuple[str, Any]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_: object, __: object, text: str, values: Any, *___: object) -> None:
        if "reservations" in text:
            asked.append((text, values))

    async with running_ledger(engine) as ledger:
        await ledger.expire_orphans(NOON)
        await ledger.expire(NOON)
    read_overview(engine, NOON)
    event.remove(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        plans = {
            text: [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
            for text, values in asked
        }
    assert len(plans) > 5
    for text, steps in plans.items():
        is_a_missing_counter = text.upper().startswith("SELECT SUM")  # test_sums.py has their plans
        assert is_a_missing_counter or any("ix_reservations_pending" in step for step in steps), (text, steps)


def test_rows_for_the_tests_are_of_every_kind(engine: Engine) -> None:
    add_rows(engine, 200, FIRST, NOON)
    assert len({(row["state"], row["usage_source"], row["priced"]) for row in rows(engine).values()}) >= 9
    assert errors(engine) == []
