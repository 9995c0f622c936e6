"""The ledger as a state machine: whatever happens in whatever order, it agrees with a model of three dozen lines.

The model knows no counters: it sums up what it remembers. So counters that drift, limits that let too much through,
and refusals without a reason all show.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine

from app.database.clock import to_ms
from app.database.engine import create_engine, reading
from app.errors import DuplicateReservation, LimitReached
from app.quotas.ledger.ledger import Ledger
from app.quotas.ledger.sql.counter_sum import PART_OF_A_DAY
from app.quotas.reports.limit_status import read_limit_status
from app.quotas.reports.retention import prune
from app.quotas.reports.usage import Grouping, usage_report
from app.quotas.rules.limits import Limit, Scope, Unit, Window, parse_limit
from app.quotas.rules.reservation import Amounts, Hold, Resolution, Settlement
from app.quotas.rules.thresholds import Watch
from tests.examples import examples
from tests.quotas.making import (
    StillClock,
    a_change,
    a_hold,
    errors,
    events,
    refused,
    released,
    remove_limits,
    reports,
    rows,
    set_limits,
    settled,
    window_start,
)

KEYS = ("key-1", "key-2")
ACCOUNTS = ("main", "spare")
ENDINGS = st.sampled_from((settled(images=4), settled(images=0), released(), refused()))
WHO = st.sampled_from(("one", "other"))
PERCENTS = (50, 100)
WRITTEN = ("images:6/day", "images:3/hour", "requests:8/total", "usd:1/month", "tokens:5000/minute", "concurrent:2")


@dataclass
class Known:
    """A reservation as the model remembers it."""

    hold: Hold
    by: Ledger | None = None  # whose it is
    dispatched: bool = False
    charged: Amounts | None = None  # None: pending
    pruned: bool = False
    expired: bool = False
    corrected: bool = False


def is_counted(limit: Limit, hold: Hold) -> bool:
    """Whether a limit looks at this reservation, its window apart."""
    mine = {Scope.KEY: hold.key_id, Scope.ACCOUNT: hold.account}
    return limit.scope not in mine or mine[limit.scope] == limit.scope_id


def taken(known: Known, unit: Unit) -> int:
    amounts = known.hold.amounts if known.charged is None else known.charged
    if unit is Unit.CONCURRENT:
        return int(known.charged is None)
    return int(getattr(amounts, "nanousd" if unit is Unit.USD else unit.value))


def most_taken(known: Known, unit: Unit) -> int:
    """Over its life: what it held or, if that is more, what it was charged."""
    return max(taken(Known(known.hold), unit) if unit is not Unit.CONCURRENT else 0, taken(known, unit))


class Machine(RuleBasedStateMachine):
    """Two keys of one user; limits come and go; time moves, also backwards, but not into pruned days; the process dies
    and starts anew; old records are deleted, of days that are much younger than a prune takes in earnest.

    Beside it another process writes to the same database, also where SQLite should have one only: whatever a process
    remembers of what it wrote, it must notice.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.engine = create_engine(url)
        self.clock = StillClock()
        self.runner = asyncio.Runner()
        self.known: dict[str, Known] = {}
        self.limits: dict[tuple[Any, ...], Limit] = {}
        self.found: dict[tuple[Any, ...], set[str]] = {}  # reservations that were there when a limit was set
        self.starts = 0
        self.told: set[tuple[Any, ...]] = set()  # thresholds that were crossed
        self.swept_until = self.clock.now  # events of windows that ended long before may be gone
        self.horizon = datetime.min.replace(tzinfo=UTC)
        self.start()
        self.other_engine = create_engine(url)
        self.other = self.make_ledger(self.other_engine, "other")
        self.runner.run(self.other.start())

    def start(self) -> None:
        self.starts += 1
        self.ledger = self.make_ledger(self.engine, f"process-{self.starts}")
        self.runner.run(self.ledger.start())

    def make_ledger(self, engine: Engine, instance: str) -> Ledger:
        return Ledger(engine, self.clock, instance=instance, queue_max=100, wait_seconds=30, watch=Watch(PERCENTS))

    def ledger_of(self, who: str) -> Ledger:
        return self.other if who == "other" else self.ledger

    def teardown(self) -> None:
        self.runner.run(self.ledger.close())
        self.runner.run(self.other.close())
        self.runner.close()
        self.engine.dispose()
        self.other_engine.dispose()

    @initialize(written=st.sets(st.sampled_from(WRITTEN), min_size=1), amount=st.integers(1, 4), n=st.integers(1, 4))
    def begin_with_something(self, written: set[str], amount: int, n: int) -> None:
        """Limits, and requests under way: left to chance alone, both are there too seldom."""
        for each in sorted(written):
            self.set_limit(each, None, amount)
        for number in range(n):
            self.reserve(KEYS[number % len(KEYS)], 1, 1, 1)

    def counted(self, limit: Limit, now: datetime) -> dict[str, Known]:
        """What a limit looks at."""
        window = Window.TOTAL if limit.window is Window.NOW else limit.window
        start = window_start(window, now)
        return {
            id_: known
            for id_, known in self.known.items()
            if is_counted(limit, known.hold) and window_start(window, known.hold.reserved_at) == start
        }

    def used(self, limit: Limit, now: datetime) -> int:
        return sum(taken(known, limit.unit) for known in self.counted(limit, now).values())

    def pending(self) -> list[str]:
        return [id_ for id_, known in self.known.items() if known.charged is None]

    @rule(
        key=st.sampled_from(KEYS),
        images=st.integers(1, 3),
        tokens=st.integers(0, 2000),
        cents=st.integers(0, 40),
        account=st.sampled_from(ACCOUNTS),
    )
    def reserve(self, key: str, images: int, tokens: int, cents: int, account: str = "main") -> None:
        self.try_to_reserve(self.ledger, key, (images, tokens, cents), account)

    @rule(key=st.sampled_from(KEYS), images=st.integers(1, 3))
    def reserve_elsewhere(self, key: str, images: int) -> None:
        self.try_to_reserve(self.other, key, (images, 0, 0))

    def try_to_reserve(
        self, ledger: Ledger, key: str, amounts: tuple[int, int, int], account: str = "main"
    ) -> str | None:
        """Its id; None when it does not fit."""
        images, tokens, cents = amounts
        now = self.clock.now
        id_ = f"r{len(self.known) + 1}"
        hold = a_hold(id_, at=now, key_id=key, images=images, tokens=tokens, nanousd=cents * 10**7)
        hold = hold._replace(account=account)
        new = Known(hold, ledger)
        fits = all(
            taken(new, limit.unit) == 0 or self.used(limit, now) + taken(new, limit.unit) <= limit.amount
            for limit in self.limits.values()
            if is_counted(limit, hold)
        )
        if fits:
            self.runner.run(ledger.reserve(hold))
            self.known[id_] = new
            return id_
        with pytest.raises(LimitReached):
            self.runner.run(ledger.reserve(hold))
        return None

    def resolve(self, ledger: Ledger, id_: str, settlement: Settlement) -> Resolution:
        async def awaited() -> Resolution:
            return await ledger.resolve(id_, settlement)

        return self.runner.run(awaited())

    @rule(key=st.sampled_from(KEYS), days=st.sampled_from([0, 1, 1]))
    def buy(self, key: str, days: int) -> None:
        """A whole life in one step, and perhaps a night after it: so that there is a past."""
        id_ = self.try_to_reserve(self.ledger, key, (1, 0, 0))
        if id_ is not None:
            settlement = settled(self.clock.now, images=1, tokens=0, nanousd=1)
            assert self.resolve(self.ledger, id_, settlement) is Resolution.DONE
            self.charge(self.known[id_], settlement.charged)
        self.clock.now += timedelta(days=days)

    @rule(data=st.data(), who=WHO)
    def dispatch(self, data: st.DataObject, who: str) -> None:
        if self.pending():
            id_ = data.draw(st.sampled_from(self.pending()))
            self.runner.run(self.ledger_of(who).mark_dispatched(id_, self.clock.now))
            self.known[id_].dispatched = True

    @rule(data=st.data(), who=WHO, account=st.sampled_from(ACCOUNTS), dispatched=st.booleans())
    def move(self, data: st.DataObject, who: str, account: str, dispatched: bool) -> None:
        """To another account, if that one's own limits have room; to the same one it is a no-op."""
        if not self.pending():
            return
        id_ = data.draw(st.sampled_from(self.pending()))
        known = self.known[id_]
        moved = known.hold._replace(account=account)
        moving = self.ledger_of(who).move(id_, account, self.clock.now, is_dispatched=dispatched)
        fits = all(
            taken(known, limit.unit) == 0
            or self.used(limit, known.hold.reserved_at) + taken(known, limit.unit) <= limit.amount
            for limit in self.limits.values()
            if limit.scope is Scope.ACCOUNT and limit.scope_id == account
        )
        if account == known.hold.account:
            self.runner.run(moving)
        elif fits:
            self.runner.run(moving)
            known.hold, known.dispatched = moved, dispatched
        else:
            with pytest.raises(LimitReached):
                self.runner.run(moving)

    @rule(data=st.data(), who=WHO, images=st.integers(0, 5), tokens=st.integers(0, 3000), cents=st.integers(0, 60))
    def settle(self, data: st.DataObject, who: str, images: int, tokens: int, cents: int) -> None:
        """Also with more than was held: what was bought is booked."""
        if self.pending():
            id_ = data.draw(st.sampled_from(self.pending()))
            settlement = settled(self.clock.now, images=images, tokens=tokens, nanousd=cents * 10**7)
            assert self.resolve(self.ledger_of(who), id_, settlement) is Resolution.DONE
            self.charge(self.known[id_], settlement.charged)

    @rule(data=st.data(), who=WHO)
    def release(self, data: st.DataObject, who: str) -> None:
        if self.pending():
            id_ = data.draw(st.sampled_from(self.pending()))
            assert self.resolve(self.ledger_of(who), id_, released(self.clock.now)) is Resolution.DONE
            self.known[id_].charged = Amounts()

    @rule(data=st.data(), who=WHO)
    def refuse(self, data: st.DataObject, who: str) -> None:
        """ZenMux refused what was sent: that counts as a request, and as nothing else."""
        if self.pending():
            id_ = data.draw(st.sampled_from(self.pending()))
            assert self.resolve(self.ledger_of(who), id_, refused(self.clock.now)) is Resolution.DONE
            self.charge(self.known[id_], Amounts(requests=1))

    @rule(data=st.data(), who=WHO)
    def resolve_again(self, data: st.DataObject, who: str) -> None:
        resolved = [id_ for id_, known in self.known.items() if known.charged is not None]
        if resolved:
            id_ = data.draw(st.sampled_from(resolved))
            again = self.resolve(self.ledger_of(who), id_, settled(self.clock.now))
            if self.known[id_].pruned:
                assert again is Resolution.UNKNOWN
            elif self.known[id_].expired and not self.known[id_].corrected:
                assert again is Resolution.CORRECTED
                self.correct(id_, settled().charged)
            else:
                assert again is Resolution.ALREADY_RESOLVED

    @rule(
        data=st.data(), who=WHO, ending=st.sampled_from((settled(images=4), settled(images=0), released(), refused()))
    )
    def come_back(self, data: st.DataObject, who: str, ending: Settlement) -> None:
        """Its process was only paused: the truth comes after the expiry."""
        late = [id_ for id_, known in self.known.items() if known.expired and not known.corrected and not known.pruned]
        if late:
            id_ = data.draw(st.sampled_from(late))
            settlement = ending._replace(resolved_at=self.clock.now)
            assert self.resolve(self.ledger_of(who), id_, settlement) is Resolution.CORRECTED
            self.correct(id_, settlement.charged)

    def correct(self, id_: str, amounts: Amounts) -> None:
        known = self.known[id_]
        assert known.charged is not None
        self.charge(known, amounts, known.charged)
        known.corrected = True

    @rule(data=st.data(), who=WHO)
    def reserve_again(self, data: st.DataObject, who: str) -> None:
        """Whoever made it, and whatever has become of it."""
        there = [id_ for id_, known in self.known.items() if not known.pruned]
        if there:
            id_ = data.draw(st.sampled_from(there))
            with pytest.raises((DuplicateReservation, LimitReached)):
                self.runner.run(self.ledger_of(who).reserve(a_hold(id_, at=self.clock.now, tokens=0, nanousd=0)))

    @rule(who=WHO)
    def sweep(self, who: str) -> None:
        """Nobody closes what it still runs itself."""
        overdue = {
            id_
            for id_ in self.pending()
            if self.known[id_].hold.expires_at < self.clock.now and self.known[id_].by is not self.ledger_of(who)
        }
        assert set(self.runner.run(self.ledger_of(who).expire(self.clock.now))) == overdue
        self.close(overdue)
        self.swept_until = max(self.swept_until, self.clock.now)

    @rule()
    def crash_and_restart(self) -> None:
        """The old process writes nothing more; on SQLite the new one closes what it left, elsewhere a sweep will."""
        self.runner.run(self.ledger.close())
        self.start()
        orphans = set(self.runner.run(self.ledger.expire_orphans(self.clock.now)))
        assert orphans == (set(self.pending()) if self.engine.dialect.name == "sqlite" else set())
        self.close(orphans)

    def close(self, ids: set[str]) -> None:
        for id_ in ids:
            known = self.known[id_]
            known.expired = True
            self.charge(known, known.hold.amounts if known.dispatched else Amounts())

    def charge(self, known: Known, amounts: Amounts, before: Amounts = Amounts()) -> None:  # noqa: B008 - a value
        """Ends a reservation, and crosses the thresholds that what is settled has reached by now."""
        known.charged = amounts
        for limit in self.limits.values():
            if (
                not is_counted(limit, known.hold)
                or limit.unit is Unit.CONCURRENT
                or taken(known, limit.unit) <= taken(Known(known.hold, charged=before), limit.unit)
            ):
                continue
            start = window_start(limit.window, known.hold.reserved_at)
            used = sum(
                taken(other, limit.unit)
                for other in self.known.values()
                if other.charged is not None
                and is_counted(limit, other.hold)
                and window_start(limit.window, other.hold.reserved_at) == start
            )
            for percent in PERCENTS:
                if Fraction(used, limit.amount) >= Fraction(percent, 100):
                    self.told.add((limit.scope, limit.scope_id, limit.unit, limit.window, to_ms(start), percent))

    @rule()
    def set_all_limits_anew(self) -> None:
        """So that every counter is made anew of what there is."""
        for name, limit in self.limits.items():
            remove_limits(self.engine, limit)
            set_limits(self.engine, limit)
            self.found[name] = set(self.known)

    @rule(later=st.sampled_from([0, 1, 30]), days=st.sampled_from([0, 1, 29]), steps=st.sampled_from([1, 2, 100]))
    def prune(self, later: int, days: int, steps: int) -> None:
        """Also one that dies after some steps. What is reported stays the same to the last nano-dollar."""
        self.clock.now += timedelta(days=later)
        cutoff = window_start(Window.DAY, self.clock.now - timedelta(days=days))
        reported = reports(self.engine)
        done = list(islice(prune(self.engine, cutoff, a_change(), 2), steps))
        assert reports(self.engine) == reported
        self.horizon = max(self.horizon, cutoff)
        left = rows(self.engine)
        gone = {id_ for id_, known in self.known.items() if id_ not in left and not known.pruned}
        assert len(gone) == sum(step.records for step in done)
        for id_ in gone:
            assert self.known[id_].charged is not None
            assert self.known[id_].hold.reserved_at < cutoff
            self.known[id_].pruned = True

    @rule(minutes=st.sampled_from([-90, -1, 1, 30, 700, 1440, 45_000]))
    def time_moves(self, minutes: int) -> None:
        self.clock.now = max(self.clock.now + timedelta(minutes=minutes), self.horizon)

    @rule(written=st.sampled_from(WRITTEN), account=st.sampled_from(ACCOUNTS), amount=st.integers(1, 9))
    def set_limit_of_account(self, written: str, account: str, amount: int) -> None:
        parsed = parse_limit(written.replace(written.partition(":")[2].partition("/")[0], str(amount)))
        self.put_limit(parsed.on(Scope.ACCOUNT, account))

    @rule(written=st.sampled_from(WRITTEN), key=st.sampled_from([None, *KEYS]), amount=st.integers(1, 9))
    def set_limit(self, written: str, key: str | None, amount: int) -> None:
        parsed = parse_limit(written.replace(written.partition(":")[2].partition("/")[0], str(amount)))
        limit = parsed.on(Scope.KEY, key) if key else parsed.on(Scope.USER, "user-1")
        self.put_limit(limit)

    def put_limit(self, limit: Limit) -> None:
        set_limits(self.engine, limit)
        name = limit.scope, limit.scope_id, limit.unit, limit.window
        self.limits[name], self.found[name] = limit, set(self.known)

    @rule(data=st.data())
    def remove_limit(self, data: st.DataObject) -> None:
        if self.limits:
            name = data.draw(st.sampled_from(list(self.limits)))
            remove_limits(self.engine, self.limits.pop(name))

    @invariant()
    def the_books_are_right(self) -> None:
        now = self.clock.now
        assert errors(self.engine, now) == []
        statuses = read_limit_status(self.engine, "key-1", "user-1", None, now)
        for status in statuses:
            assert status.used == self.used(status.limit, now)
        written = {
            (row["scope"], row["scope_id"], row["unit"], row["window"], row["window_start_ms"], row["percent"])
            for row in events(self.engine)
        }
        assert written <= self.told
        lost = [(Window(event[3]), event[4]) for event in self.told - written]
        old = self.swept_until - timedelta(days=2)
        # Of an hour that is pruned only what is left of it is counted, should something settle that late.
        pruned = dict.fromkeys(PART_OF_A_DAY, to_ms(self.horizon))
        assert all(start_ms < max(to_ms(window_start(window, old)), pruned.get(window, 0)) for window, start_ms in lost)
        left = rows(self.engine)
        assert {id_ for id_, row in left.items() if row["state"] == "pending"} == set(self.pending())
        assert left.keys() == {id_ for id_, known in self.known.items() if not known.pruned}
        assert all(row["account"] == self.known[id_].hold.account for id_, row in left.items())

    @invariant()
    def what_was_charged_is_reported(self) -> None:
        charged = [known.charged for known in self.known.values() if known.charged is not None]
        with reading(self.engine) as connection:
            days = list(usage_report(connection, Grouping.DAY))
        assert sum(day.requests - day.pending for day in days) == len(charged)
        assert sum(day.pending for day in days) == len(self.pending())
        counted = sum(amounts.requests for amounts in charged)
        assert sum(day.requests - day.pending - day.released for day in days) == counted
        assert sum(day.images for day in days) == sum(amounts.images for amounts in charged)
        assert sum(day.nanousd for day in days) == sum(amounts.nanousd for amounts in charged)
        with reading(self.engine) as connection:
            by_account = {row.name: row.nanousd for row in usage_report(connection, Grouping.ACCOUNT)}
        for account, nanousd in by_account.items():
            mine = [known.charged for known in self.known.values() if known.hold.account == account]
            assert nanousd == sum(amounts.nanousd for amounts in mine if amounts is not None)

    @invariant()
    def nobody_passes_a_limit(self) -> None:
        """But by what was charged beyond a hold or too late, and by what was there when the limit was set."""
        for name, limit in self.limits.items():
            counted = self.counted(limit, self.clock.now)
            most = {id_: most_taken(known, limit.unit) for id_, known in counted.items()}
            found = sum(most[id_] for id_ in counted.keys() & self.found[name])
            excess = sum(
                taken(known, limit.unit)
                if known.corrected  # others may have had its room meanwhile
                else max(taken(known, limit.unit) - taken(Known(known.hold), limit.unit), 0)
                for known in counted.values()
            )
            assert self.used(limit, self.clock.now) <= max(limit.amount, found) + excess


@pytest.mark.timeout(600)
def test_the_ledger_agrees_with_the_model(make_store: Callable[[], str], store_kind: str) -> None:
    run_state_machine_as_test(
        lambda: Machine(make_store()),  # type: ignore[arg-type] # any maker of machines will do
        settings=settings(
            max_examples=examples(12 if store_kind == "sqlite" else 6),
            stateful_step_count=30,
            suppress_health_check=list(HealthCheck),
        ),
    )
