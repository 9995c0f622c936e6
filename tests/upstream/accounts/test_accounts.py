"""The accounts of a process against a model, with a clock that stands still until it is moved; and the plain cases."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from pydantic import SecretStr

from app.errors import ModelNotFound, NoAccountUp
from app.settings.accounts import AccountOrder, AccountSpec
from app.upstream.accounts.accounts import Account, Accounts
from app.upstream.accounts.states import AccountState, Availability, Why
from tests.examples import examples

MODEL = "openai/gpt-image-2"
URL = "https://zenmux.example/api/v1"


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Seen:
    """What the watch was called with."""

    calls: list[tuple[str, Availability, Why | None]] = field(default_factory=list)

    def __call__(self, name: str, state: AccountState, _: float | None) -> None:
        self.calls.append((name, state.kind, state.why))


def spec(name: str, **more: object) -> AccountSpec:
    return AccountSpec(name, SecretStr(f"sk-ai-v1-{name}"), **more)  # type: ignore[arg-type]


def accounts_of(
    *specs: AccountSpec, order: AccountOrder = AccountOrder.PRIORITY, clock: Clock | None = None
) -> tuple[Accounts, Clock, Seen]:
    clock, seen = clock or Clock(), Seen()
    accounts = Accounts(specs, order, URL, clock, lambda: 0.0)
    accounts.watch = seen
    return accounts, clock, seen


class TestChoice:
    def test_in_order_the_first_that_is_up_takes_everything(self) -> None:
        accounts, _, _ = accounts_of(spec("a"), spec("b"))
        assert [accounts.choose(MODEL)[0].name for _ in range(3)] == ["a", "a", "a"]

    def test_weighted_accounts_take_turns(self) -> None:
        accounts, _, _ = accounts_of(spec("a", weight=2), spec("b"), order=AccountOrder.WEIGHTED)
        assert sorted(accounts.choose(MODEL)[0].name for _ in range(6)) == ["a"] * 4 + ["b"] * 2

    def test_an_account_serves_only_its_models(self) -> None:
        accounts, _, _ = accounts_of(spec("a", models=("gpt-image-1",)), spec("b"))
        assert accounts.choose(MODEL)[0].name == "b"
        alone, _, _ = accounts_of(spec("a", models=("gpt-image-1",)))
        with pytest.raises(ModelNotFound):
            alone.choose(MODEL)

    def test_what_was_tried_is_not_chosen_again(self) -> None:
        accounts, _, _ = accounts_of(spec("a"), spec("b"))
        assert accounts.choose(MODEL, {"a"})[0].name == "b"
        with pytest.raises(NoAccountUp):
            accounts.choose(MODEL, {"a", "b"})

    def test_a_full_account_comes_last_for_a_moment_but_is_no_reason_to_refuse(self) -> None:
        accounts, clock, _ = accounts_of(spec("a"), spec("b"))
        accounts.note_full(accounts.all[0])
        assert accounts.choose(MODEL)[0].name == "b"
        accounts.note_full(accounts.all[1])
        assert accounts.choose(MODEL)[0].name == "a"
        clock.now += 3
        assert accounts.choose(MODEL)[0].name == "a"


class TestOneAccount:
    """Nothing else could take the request, so only an operator keeps it out."""

    @pytest.mark.parametrize("why", [Why.CREDIT, Why.QUOTA, Why.KEY, Why.RATE])
    def test_its_refusals_are_noted_and_refuse_nothing(self, why: Why) -> None:
        accounts, clock, seen = accounts_of(spec("main"))
        account, _ = accounts.choose(MODEL)
        accounts.note_refused(account, why, clock.now, None)
        assert accounts.state_of(account).why is why
        clock.now += 0.1
        assert accounts.choose(MODEL)[0] is account
        accounts.note_answered(account, clock.now)
        assert accounts.state_of(account).kind is Availability.UP
        assert [kind for _, kind, _ in seen.calls][-1] is Availability.UP

    def test_connections_that_fail_are_noted_and_refuse_nothing(self) -> None:
        accounts, clock, _ = accounts_of(spec("main"))
        account, _ = accounts.choose(MODEL)
        for _ in range(7):
            accounts.note_unreachable(account, clock.now)
        assert accounts.state_of(account).why is Why.CONNECTION
        assert accounts.choose(MODEL)[0] is account

    def test_an_operators_rest_refuses(self) -> None:
        accounts, clock, _ = accounts_of(spec("main"))
        accounts.rest("main", None)
        with pytest.raises(NoAccountUp) as raised:
            accounts.choose(MODEL)
        assert (raised.value.why, raised.value.retry_after_seconds) == ("operator", None)
        accounts.rest("main", 30)
        with pytest.raises(NoAccountUp) as raised:
            accounts.choose(MODEL)
        assert raised.value.retry_after_seconds == 30
        clock.now += 30
        assert accounts.choose(MODEL)[0].name == "main"


class TestSeveral:
    def test_none_up_says_what_passes_first_and_when(self) -> None:
        accounts, clock, _ = accounts_of(spec("a"), spec("b"), spec("c", base_url="https://other.example"))
        a, b, c = accounts.all
        accounts.note_refused(a, Why.CREDIT, clock.now, None)
        accounts.note_refused(b, Why.RATE, clock.now, 7.0)
        accounts.note_refused(c, Why.RATE, clock.now, 300.0)
        with pytest.raises(NoAccountUp) as raised:
            accounts.choose(MODEL)
        assert (raised.value.why, raised.value.retry_after_seconds) == ("rate_limit", 7)

    def test_where_waiting_does_not_help_there_is_no_retry_after(self) -> None:
        accounts, clock, _ = accounts_of(spec("a"), spec("b"))
        for account in accounts.all:
            accounts.note_refused(account, Why.KEY, clock.now, None)
        with pytest.raises(NoAccountUp) as raised:
            accounts.choose(MODEL)
        assert (raised.value.why, raised.value.retry_after_seconds) == ("key", None)

    def test_a_cut_way_rests_every_account_behind_it_and_no_other(self) -> None:
        accounts, clock, seen = accounts_of(spec("a"), spec("b"), spec("c", base_url="https://other.example"))
        for _ in range(5):
            accounts.note_unreachable(accounts.all[0], clock.now)
        assert accounts.choose(MODEL)[0].name == "c"
        assert {name for name, _, why in seen.calls if why is Why.CONNECTION} == {"a", "b"}
        clock.now += 5
        assert accounts.choose(MODEL)[0].name == "a"  # the one request that may try
        assert accounts.choose(MODEL)[0].name == "c"
        accounts.note_connected(accounts.all[0], clock.now)
        assert accounts.choose(MODEL)[0].name == "a"

    def test_an_operator_brings_back_what_was_down(self) -> None:
        accounts, clock, _ = accounts_of(spec("a"), spec("b"))
        accounts.note_refused(accounts.all[0], Why.CREDIT, clock.now, None)
        assert accounts.choose(MODEL)[0].name == "b"
        accounts.resume("a")
        assert accounts.choose(MODEL)[0].name == "a"


class TestReplacing:
    def test_the_same_key_keeps_its_state_and_a_new_one_begins_well(self) -> None:
        accounts, clock, seen = accounts_of(spec("a"), spec("b"))
        old = accounts.all[0]
        for account in accounts.all:
            accounts.note_refused(account, Why.KEY, clock.now, None)
        accounts.replace([AccountSpec("a", SecretStr("sk-ai-v1-new")), spec("b"), spec("c")], AccountOrder.PRIORITY)
        assert [accounts.state_of(account).kind for account in accounts.all] == [
            Availability.UP,
            Availability.DOWN,
            Availability.UP,
        ]
        assert accounts.choose(MODEL)[0].spec.key == SecretStr("sk-ai-v1-new")
        accounts.note_refused(old, Why.KEY, clock.now, None)  # the old key's requests say nothing about the new one
        assert accounts.choose(MODEL)[0].name == "a"
        assert seen.calls == [("a", Availability.DOWN, Why.KEY), ("b", Availability.DOWN, Why.KEY)]

    def test_a_request_that_runs_still_tells_of_an_account_whose_weight_has_changed(self) -> None:
        accounts, _clock, _ = accounts_of(spec("a"), spec("b"))
        running, chosen_at = accounts.choose(MODEL)
        accounts.replace([spec("a", weight=5), spec("b")], AccountOrder.PRIORITY)
        accounts.note_refused(running, Why.CREDIT, chosen_at, None)
        assert accounts.choose(MODEL)[0].name == "b"

    def test_what_an_operator_took_out_stays_out(self) -> None:
        accounts, _, _ = accounts_of(spec("a"), spec("b"))
        accounts.rest("a", None)
        accounts.replace([AccountSpec("a", SecretStr("sk-ai-v1-new")), spec("b")], AccountOrder.PRIORITY)
        assert accounts.choose(MODEL)[0].name == "b"


@dataclass
class Running:
    """A request that runs, as the model remembers it."""

    account: Account
    chosen_at: float


class Machine(RuleBasedStateMachine):
    """Requests come and end in every way, the clock moves, operators act. The model remembers, for each account, when
    it may next be asked, and of which requests it has heard."""

    @initialize(order=st.sampled_from(list(AccountOrder)), weights=st.lists(st.integers(1, 3), min_size=2, max_size=4))
    def begin(self, order: AccountOrder, weights: Sequence[int]) -> None:
        specs = [
            spec(f"a{number}", weight=weight, base_url=None if number % 2 else "https://other.example")
            for number, weight in enumerate(weights)
        ]
        self.accounts, self.clock, self.seen = accounts_of(*specs, order=order)
        self.running: list[Running] = []
        self.rested: set[str] = set()
        self.closed_until: dict[str, float] = {}  # what ZenMux said: not before
        self.refused_at: dict[str, float] = {}

    @rule(tried=st.sets(st.integers(0, 3), max_size=2))
    def choose(self, tried: set[int]) -> None:
        names = {f"a{number}" for number in tried}
        now = self.clock.now
        try:
            account, chosen_at = self.accounts.choose(MODEL, names)
        except NoAccountUp as refusal:
            self.told = refusal.retry_after_seconds
            for each in self.accounts.all:
                way = self.accounts._ways[each.origin]
                is_idle = each.state == AccountState() and way == AccountState()
                assert not is_idle or each.name in names, "an account that is up was not chosen"
            return
        assert chosen_at == now
        assert account.name not in names
        assert account.name not in self.rested, "an operator had taken it out"
        assert now >= self.closed_until.get(account.name, 0), "it rests"
        probes = [
            each for each in self.running if each.account is account and each.chosen_at == account.state.probe_since
        ]
        assert account.state.probe_since in (None, now), f"a second probe beside {probes}"
        self.running.append(Running(account, now))

    @rule(seconds=st.sampled_from((0.1, 1.0, 6.0, 40.0, 1000.0)))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    def _end(self, data: st.DataObject) -> Running | None:
        if not self.running:
            return None
        return self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))

    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        if (ended := self._end(data)) is not None:
            self.accounts.note_connected(ended.account, ended.chosen_at)
            self.accounts.note_answered(ended.account, ended.chosen_at)
            if ended.chosen_at >= self.refused_at.get(ended.account.name, 0):
                self.closed_until.pop(ended.account.name, None)
            self.accounts.note_ended(ended.account, ended.chosen_at)

    @rule(data=st.data(), why=st.sampled_from((Why.CREDIT, Why.QUOTA, Why.KEY, Why.RATE)))
    def refuse(self, data: st.DataObject, why: Why) -> None:
        if (ended := self._end(data)) is not None:
            name, now = ended.account.name, self.clock.now
            before = ended.account.state
            self.accounts.note_connected(ended.account, ended.chosen_at)
            self.accounts.note_refused(ended.account, why, ended.chosen_at, None)
            if ended.account.state is not before and name not in self.rested:
                self.closed_until[name] = now + (1 if why is Why.RATE else 30)  # at least, without jitter
                self.refused_at[name] = now
            self.accounts.note_ended(ended.account, ended.chosen_at)

    @rule(data=st.data())
    def fail_to_connect(self, data: st.DataObject) -> None:
        if (ended := self._end(data)) is not None:
            self.accounts.note_unreachable(ended.account, ended.chosen_at)
            self.accounts.note_ended(ended.account, ended.chosen_at)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """The caller left, or the request failed in a way that tells nothing."""
        if (ended := self._end(data)) is not None:
            self.accounts.note_ended(ended.account, ended.chosen_at)

    @rule(number=st.integers(0, 3))
    def rest(self, number: int) -> None:
        name = f"a{number}"
        if any(account.name == name for account in self.accounts.all):
            self.accounts.rest(name, None)
            self.rested.add(name)

    @rule(number=st.integers(0, 3))
    def resume(self, number: int) -> None:
        name = f"a{number}"
        if name in self.rested:
            self.accounts.resume(name)
            self.rested.discard(name)
            self.closed_until.pop(name, None)

    @invariant()
    def a_retry_after_is_one_that_sdks_take(self) -> None:
        told = getattr(self, "told", None)
        assert told is None or 1 <= told <= 60

    @invariant()
    def what_an_operator_took_out_is_out(self) -> None:
        for account in self.accounts.all if hasattr(self, "accounts") else ():
            if account.name in self.rested:
                assert self.accounts.state_of(account).why is Why.OPERATOR

    @invariant()
    def a_probe_belongs_to_a_request_that_runs(self) -> None:
        """Otherwise an account would stay down for ever."""
        if not hasattr(self, "accounts"):
            return
        chosen = {each.chosen_at for each in self.running}
        for account in self.accounts.all:
            for state in (account.state, self.accounts._ways[account.origin]):
                assert state.probe_since is None or state.probe_since in chosen


@pytest.mark.timeout(600)
def test_the_accounts_do_what_the_model_says() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples(60),
            stateful_step_count=40,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
