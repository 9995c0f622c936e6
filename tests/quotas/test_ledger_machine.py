"""The ledger as a state machine: whatever happens in whatever order, it agrees with a model of three dozen lines.

The model knows no counters: it sums up what it remembers. So counters that drift, limits that let too much through,
and refusals without a reason all show.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.database.clock import to_ms
from app.database.engine import create_engine
from app.errors import LimitReached
from app.quotas.ledger import Ledger
from app.quotas.limits import Limit, Scope, Unit, Window, parse_limit
from app.quotas.reservation import Amounts, Hold, Resolution
from app.quotas.thresholds import Watch
from app.quotas.windows import window_start
from tests.quotas.making import StillClock, a_hold, errors, events, released, remove_limits, rows, set_limits, settled

KEYS = ("key-1", "key-2")
PERCENTS = (50, 100)
WRITTEN = ("images:6/day", "images:3/hour", "requests:8/total", "usd:1/month", "tokens:5000/minute", "concurrent:2")


@dataclass
class Known:
    """A reservation as the model remembers it."""

    hold: Hold
    dispatched: bool = False
    charged: Amounts | None = None  # None: pending


def taken(known: Known, unit: Unit) -> int:
    amounts = known.hold.amounts if known.charged is None else known.charged
    if unit is Unit.CONCURRENT:
        return int(known.charged is None)
    return int(getattr(amounts, "nanousd" if unit is Unit.USD else unit.value))


class Machine(RuleBasedStateMachine):
    """Two keys of one user; limits come and go; time moves, also backwards; the process dies and starts anew."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.engine = create_engine(url)
        self.clock = StillClock()
        self.runner = asyncio.Runner()
        self.known: dict[str, Known] = {}
        self.limits: dict[tuple[Any, ...], Limit] = {}
        self.starts = 0
        self.told: set[tuple[Any, ...]] = set()  # thresholds that were crossed
        self.swept_until = self.clock.now  # events of windows that ended long before may be gone
        self.start()

    def start(self) -> None:
        self.starts += 1
        instance = f"process-{self.starts}"
        watch = Watch(PERCENTS)
        self.ledger = Ledger(self.engine, self.clock, instance=instance, queue_max=100, wait_seconds=30, watch=watch)
        self.runner.run(self.ledger.start())

    def teardown(self) -> None:
        self.runner.run(self.ledger.close())
        self.runner.close()
        self.engine.dispose()

    @initialize(written=st.sets(st.sampled_from(WRITTEN), min_size=1), amount=st.integers(1, 4), n=st.integers(1, 4))
    def begin_with_something(self, written: set[str], amount: int, n: int) -> None:
        """Limits, and requests under way: left to chance alone, both are there too seldom."""
        for each in sorted(written):
            self.set_limit(each, None, amount)
        for number in range(n):
            self.reserve(KEYS[number % len(KEYS)], 1, 1, 1)

    def used(self, limit: Limit, now: datetime) -> int:
        window = Window.TOTAL if limit.window is Window.NOW else limit.window
        start = window_start(window, now)
        return sum(
            taken(known, limit.unit)
            for known in self.known.values()
            if (limit.scope is not Scope.KEY or known.hold.key_id == limit.scope_id)
            and window_start(window, known.hold.reserved_at) == start
        )

    def pending(self) -> list[str]:
        return [id_ for id_, known in self.known.items() if known.charged is None]

    @rule(key=st.sampled_from(KEYS), images=st.integers(1, 3), tokens=st.integers(0, 2000), cents=st.integers(0, 40))
    def reserve(self, key: str, images: int, tokens: int, cents: int) -> None:
        now = self.clock.now
        id_ = f"r{len(self.known) + 1}"
        hold = a_hold(id_, at=now, key_id=key, images=images, tokens=tokens, nanousd=cents * 10**7)
        new = Known(hold)
        fits = all(
            taken(new, limit.unit) == 0 or self.used(limit, now) + taken(new, limit.unit) <= limit.amount
            for limit in self.limits.values()
            if limit.scope is not Scope.KEY or limit.scope_id == key
        )
        if fits:
            self.runner.run(self.ledger.reserve(hold))
            self.known[id_] = new
        else:
            with pytest.raises(LimitReached):
                self.runner.run(self.ledger.reserve(hold))

    @rule(data=st.data())
    def dispatch(self, data: st.DataObject) -> None:
        if self.pending():
            id_ = data.draw(st.sampled_from(self.pending()))
            self.runner.run(self.ledger.mark_dispatched(id_, self.clock.now))
            self.known[id_].dispatched = True

    @rule(data=st.data(), images=st.integers(0, 5), tokens=st.integers(0, 3000), cents=st.integers(0, 60))
    def settle(self, data: st.DataObject, images: int, tokens: int, cents: int) -> None:
        """Also with more than was held: what was bought is booked."""
        if self.pending():
            id_ = data.draw(st.sampled_from(self.pending()))
            settlement = settled(self.clock.now, images=images, tokens=tokens, nanousd=cents * 10**7)
            assert self.runner.run(self.ledger.resolve(id_, settlement)) is Resolution.DONE
            self.charge(self.known[id_], settlement.charged)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.pending():
            id_ = data.draw(st.sampled_from(self.pending()))
            assert self.runner.run(self.ledger.resolve(id_, released(self.clock.now))) is Resolution.DONE
            self.known[id_].charged = Amounts()

    @rule(data=st.data())
    def resolve_again(self, data: st.DataObject) -> None:
        resolved = [id_ for id_, known in self.known.items() if known.charged is not None]
        if resolved:
            id_ = data.draw(st.sampled_from(resolved))
            again = self.runner.run(self.ledger.resolve(id_, settled(self.clock.now)))
            assert again is Resolution.ALREADY_RESOLVED

    @rule()
    def sweep(self) -> None:
        overdue = {id_ for id_ in self.pending() if self.known[id_].hold.expires_at < self.clock.now}
        assert set(self.runner.run(self.ledger.expire(self.clock.now))) == overdue
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
            self.charge(known, known.hold.amounts if known.dispatched else Amounts())

    def charge(self, known: Known, amounts: Amounts) -> None:
        """Ends a reservation, and crosses the thresholds that what is settled has reached by now."""
        known.charged = amounts
        for limit in self.limits.values():
            mine = limit.scope is not Scope.KEY or known.hold.key_id == limit.scope_id
            if not mine or limit.unit is Unit.CONCURRENT or not taken(known, limit.unit):
                continue
            start = window_start(limit.window, known.hold.reserved_at)
            used = sum(
                taken(other, limit.unit)
                for other in self.known.values()
                if other.charged is not None
                and (limit.scope is not Scope.KEY or other.hold.key_id == limit.scope_id)
                and window_start(limit.window, other.hold.reserved_at) == start
            )
            for percent in PERCENTS:
                if Fraction(used, limit.amount) >= Fraction(percent, 100):
                    self.told.add((limit.scope, limit.scope_id, limit.unit, limit.window, to_ms(start), percent))

    @rule(minutes=st.sampled_from([-90, -1, 1, 30, 700, 1440, 45_000]))
    def time_moves(self, minutes: int) -> None:
        self.clock.now += timedelta(minutes=minutes)

    @rule(written=st.sampled_from(WRITTEN), key=st.sampled_from([None, *KEYS]), amount=st.integers(1, 9))
    def set_limit(self, written: str, key: str | None, amount: int) -> None:
        parsed = parse_limit(written.replace(written.partition(":")[2].partition("/")[0], str(amount)))
        limit = parsed.on(Scope.KEY, key) if key else parsed.on(Scope.USER, "user-1")
        set_limits(self.engine, limit)
        self.limits[limit.scope, limit.scope_id, limit.unit, limit.window] = limit

    @rule(data=st.data())
    def remove_limit(self, data: st.DataObject) -> None:
        if self.limits:
            name = data.draw(st.sampled_from(list(self.limits)))
            remove_limits(self.engine, self.limits.pop(name))

    @invariant()
    def the_books_are_right(self) -> None:
        now = self.clock.now
        assert errors(self.engine, now) == []
        statuses = self.runner.run(self.ledger.limits_of("key-1", "user-1", None, now))
        for status in statuses:
            assert status.used == self.used(status.limit, now)
        written = {
            (row["scope"], row["scope_id"], row["unit"], row["window"], row["window_start_ms"], row["percent"])
            for row in events(self.engine)
        }
        assert written <= self.told
        lost = [(Window(event[3]), event[4]) for event in self.told - written]
        old = self.swept_until - timedelta(days=2)
        assert all(start_ms < to_ms(window_start(window, old)) for window, start_ms in lost)
        assert {id_ for id_, row in rows(self.engine).items() if row["state"] == "pending"} == set(self.pending())


@pytest.mark.timeout(300)
def test_the_ledger_agrees_with_the_model(make_store: Callable[[], str], store_kind: str) -> None:
    run_state_machine_as_test(
        lambda: Machine(make_store()),  # type: ignore[arg-type] # any maker of machines will do
        settings=settings(
            max_examples=25 if store_kind == "sqlite" else 8,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
