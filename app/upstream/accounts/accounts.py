"""The accounts of one process: chooses the next, and remembers what requests have learnt. For one event loop.

With one account nothing else could take a request: then ZenMux's own answer is asked for each time, and only an
operator's rest refuses. Every state is noted and shown all the same.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.errors import RETRY_AFTER_SECONDS_MAX, ModelNotFound, NoAccountUp
from app.settings.accounts import AccountOrder, AccountSpec
from app.upstream.accounts import states
from app.upstream.accounts.states import UP, AccountState, Availability, Why
from app.upstream.accounts.turns import next_turn

_FULL_SECONDS = 2.0  # how long an account whose limits refused comes last

AccountWatch = Callable[[str, AccountState, float | None], None]
"""Called whenever an account goes out of use or comes back: its name, its new state, and how many seconds that lasts;
None if nobody knows.
"""

_MESSAGES = {
    Why.CREDIT: "The gateway's ZenMux account has no credit. Please tell the gateway's operator.",
    Why.QUOTA: "The gateway's ZenMux account has used up its quota. Please tell the gateway's operator.",
    Why.KEY: "The gateway's ZenMux key is refused. Please tell the gateway's operator.",
    Why.RATE: "ZenMux's rate limit is reached. Please try again shortly.",
    Why.CONNECTION: "ZenMux cannot be reached at the moment. Please try again shortly.",
    Why.OPERATOR: "The gateway's operator has taken its ZenMux account out of use for now.",
}


@dataclass(slots=True, eq=False)
class Account:
    """One ZenMux key in use. `targets` caches parts of requests made with this key."""

    spec: AccountSpec
    origin: str
    state: AccountState = UP
    full_until: float = float("-inf")
    targets: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.spec.name


class Accounts:
    """`base_url` is that of accounts without one of their own. `monotonic` is a clock in seconds; `jitter` gives a
    number in [0, 1).
    """

    def __init__(
        self,
        specs: Sequence[AccountSpec],
        order: AccountOrder,
        base_url: str,
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._base_url = base_url
        self._monotonic = monotonic
        self._jitter = jitter
        self._accounts: dict[str, Account] = {}
        self._ways: dict[str, AccountState] = {}  # by base URL
        self._balances: dict[str, int] = {}
        self._only: Account | None = None
        self.watch: AccountWatch = lambda *_: None
        self.replace(specs, order)

    def replace(self, specs: Sequence[AccountSpec], order: AccountOrder) -> None:
        """Takes these accounts from now on. Requests that run keep the account they have. An account with the same
        name, key and server keeps its state.
        """
        before, self._order = self._accounts, order
        self._accounts = {spec.name: self._account(spec, before.get(spec.name)) for spec in specs}
        self._ways = {account.origin: self._ways.get(account.origin, UP) for account in self._accounts.values()}
        self._balances = {}
        first = next(iter(self._accounts.values()), None)
        self._only = first if len(specs) == 1 and first is not None and not first.spec.models else None

    def _account(self, spec: AccountSpec, before: Account | None) -> Account:
        origin = spec.base_url or self._base_url
        if before is not None and before.spec.key == spec.key and before.origin == origin:
            before.spec = spec  # requests that run go on telling what they learn of it
            return before
        is_rested = before is not None and before.state.why is Why.OPERATOR
        return Account(spec, origin, before.state if before is not None and is_rested else UP)

    @property
    def all(self) -> tuple[Account, ...]:
        return tuple(self._accounts.values())

    @property
    def are_several(self) -> bool:
        return len(self._accounts) > 1

    def state_of(self, account: Account) -> AccountState:
        """The account's own state, or else that of the way to its server."""
        now = self._monotonic()
        own = states.at(account.state, now)
        return own if own.kind is not Availability.UP else self._ways.get(account.origin, UP)

    def seconds_left(self, account: Account) -> float | None:
        """How long its present rest lasts, or until a request may try again; None if nobody knows."""
        seconds = self.state_of(account).until - self._monotonic()
        return seconds if 0 <= seconds < states.FOR_EVER else None

    def choose(self, model: str, tried: Collection[str] = ()) -> tuple[Account, float]:
        """The account for the next request for `model`, a catalog id, and when it was chosen. None in `tried`, by name.

        Raises NoAccountUp; ModelNotFound if no account serves the model.
        """
        only = self._only
        if only is not None and only.state.kind is Availability.UP and not tried:
            return only, self._monotonic()
        now = self._monotonic()
        serving = [account for account in self._accounts.values() if account.spec.serves(model)]
        if not serving:
            raise ModelNotFound("None of the gateway's ZenMux accounts serves this model. Use another model.")
        fresh = [account for account in serving if account.name not in tried]
        ready = [account for account in fresh if self._is_open(account, now)]
        if not ready:
            raise self._none_up(fresh or serving, now)
        chosen = self._next([account for account in ready if account.full_until <= now] or ready)
        if self.are_several:
            self._turn(chosen, states.taken(chosen.state, now))
            self._turn_way(chosen.origin, states.taken(self._ways[chosen.origin], now))
        return chosen, now

    def _is_open(self, account: Account, now: float) -> bool:
        if not self.are_several:
            return account.state.why is not Why.OPERATOR or states.is_open(account.state, now)
        return states.is_open(account.state, now) and states.is_open(self._ways[account.origin], now)

    def _next(self, ready: Sequence[Account]) -> Account:
        if len(ready) == 1 or self._order is AccountOrder.PRIORITY:
            return ready[0]
        name, self._balances = next_turn(self._balances, [(each.name, each.spec.weight) for each in ready])
        return self._accounts[name]

    def _none_up(self, accounts: Iterable[Account], now: float) -> NoAccountUp:
        """Says what passes by itself, where anything does: the rest that ends first."""
        found = [self._closed(account, now) for account in accounts]
        resting = [state for state in found if state.kind is Availability.RESTING]
        if not resting:
            why = found[0].why or Why.OPERATOR
            return NoAccountUp(_MESSAGES[why], why.value, None)
        first = min(resting, key=lambda state: state.until)
        why, seconds = first.why or Why.RATE, math.ceil(max(1.0, first.until - now))
        return NoAccountUp(_MESSAGES[why], why.value, min(seconds, RETRY_AFTER_SECONDS_MAX))

    def _closed(self, account: Account, now: float) -> AccountState:
        """The state that keeps an account from being chosen."""
        own = states.at(account.state, now)
        return own if own.kind is not Availability.UP else self._ways[account.origin]

    def note_answered(self, account: Account, chosen_at: float) -> None:
        """ZenMux answered as it answers an account in good order: with images, or a refusal of the request itself."""
        if account.state is not UP:
            self._turn(account, states.answered(account.state, chosen_at))

    def note_refused(self, account: Account, why: Why, chosen_at: float, retry_after_seconds: float | None) -> None:
        """ZenMux refused a request for the account's sake."""
        now, jitter = self._monotonic(), self._jitter()
        state = states.at(account.state, now)
        if why is Why.RATE:
            pause = states.rate_pause(state, retry_after_seconds, jitter)
        else:
            pause = states.probe_pause(state, jitter)
        self._turn(account, states.refused(state, why, chosen_at, now, pause))

    def awaits_connection(self, account: Account) -> bool:
        """Whether it is to be noted that there is a connection to the account's server."""
        return self._ways.get(account.origin, UP) is not UP

    def note_connected(self, account: Account, chosen_at: float) -> None:
        """There is a connection to the account's server."""
        way = self._ways.get(account.origin)
        if way is not None:
            self._turn_way(account.origin, states.connected(way, chosen_at))

    def note_unreachable(self, account: Account, chosen_at: float) -> None:
        """One try to connect to the account's server failed."""
        way = self._ways.get(account.origin)
        if way is not None:
            now, jitter = self._monotonic(), self._jitter()
            self._turn_way(account.origin, states.connection_failed(way, chosen_at, now, jitter))

    def is_worth_trying(self, account: Account) -> bool:
        """Whether to try again to connect to its server: not, if another account may have a better way."""
        return not self.are_several or self._ways.get(account.origin, UP).kind is Availability.UP

    def behind(self, account: Account) -> set[str]:
        """The names of all accounts whose server is that of this one."""
        return {account.name, *(each.name for each in self._accounts.values() if each.origin == account.origin)}

    def note_full(self, account: Account) -> None:
        """A limit of the account refused a request: for a moment the others come first."""
        account.full_until = self._monotonic() + _FULL_SECONDS

    def note_ended(self, account: Account, chosen_at: float) -> None:
        """A request is over, or leaves this account. If it was to tell whether all is well again, the next one may."""
        if account.state.probe_since is not None:
            account.state = states.probe_ended(account.state, chosen_at)
        way = self._ways.get(account.origin, UP)
        if way.probe_since is not None:
            self._ways[account.origin] = states.probe_ended(way, chosen_at)

    def rest(self, name: str, seconds: float | None) -> None:
        """Takes an account out, for so long or until `resume`."""
        account, now = self._accounts.get(name), self._monotonic()
        if account is not None:
            until = states.FOR_EVER if seconds is None else now + seconds
            self._turn(account, states.rested_by_operator(now, until))

    def resume(self, name: str) -> None:
        """Takes an account in again, whatever kept it out."""
        account = self._accounts.get(name)
        if account is not None:
            self._turn(account, states.resumed_by_operator(self._monotonic()))
            self._turn_way(account.origin, states.resumed_by_operator(self._monotonic()))

    def _turn(self, account: Account, state: AccountState) -> None:
        before, account.state = account.state, state
        is_another_rest = state.kind is not Availability.UP and state.since != before.since
        if before.kind is not state.kind or is_another_rest:
            self._announce(account, state)

    def _turn_way(self, origin: str, state: AccountState) -> None:
        before, self._ways[origin] = self._ways[origin], state
        is_another_rest = state.kind is not Availability.UP and state.since != before.since
        if before.kind is not state.kind or is_another_rest:
            for account in self._accounts.values():
                if account.origin == origin:
                    self._announce(account, state)

    def _announce(self, account: Account, state: AccountState) -> None:
        if self._accounts.get(account.name) is not account:
            return  # a key that was replaced, of a request that still runs
        self.watch(account.name, state, self.seconds_left(account))
