"""The states of an account, and of the way to a server: what each observation makes of them. Pure.

All times are seconds of one monotonic clock. A request is known by when it was chosen: what was chosen before a state
began says nothing about it, so a hundred refusals of one moment are one rest. `jitter` is in [0, 1).
"""

from dataclasses import dataclass, replace
from enum import StrEnum

CONNECTION_FAILURES_MAX = 5  # in a row; then the way to that server rests
RATE_SECONDS = (1.0, 60.0)  # the first rest and the longest; each further one in a row is twice as long
CONNECTION_SECONDS = (5.0, 60.0)
PROBE_SECONDS = (30.0, 900.0)
REST_SECONDS_MAX = 3600.0  # of what a Retry-After may ask for

_NEVER = float("-inf")
FOR_EVER = float("inf")


class Availability(StrEnum):
    """Whether requests go there."""

    UP = "up"
    RESTING = "resting"  # until a time that is known
    DOWN = "down"  # until an operator, or a request that probes it, says otherwise


class Why(StrEnum):
    """Why no requests go there. A closed set: it is a metric's label."""

    CREDIT = "credit"
    QUOTA = "quota"
    KEY = "key"
    RATE = "rate_limit"
    CONNECTION = "connection"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class AccountState:
    """`until` is the end of a rest; of what is down, when one request may probe it. `rests` are those in a row, which
    make the next one longer. `failures` are failed connections in a row. `probe_since` is when the request was chosen
    whose answer will tell.
    """

    kind: Availability = Availability.UP
    why: Why | None = None
    since: float = _NEVER
    until: float = _NEVER
    rests: int = 0
    failures: int = 0
    probe_since: float | None = None

    @property
    def needs_probe(self) -> bool:
        """Whether one request must go first before all may."""
        return self.kind is Availability.DOWN or self.why is Why.CONNECTION


UP = AccountState()


def at(state: AccountState, now: float) -> AccountState:
    """The state as it is at `now`: a rest that ends by itself has ended."""
    if state.kind is not Availability.RESTING or state.needs_probe or now < state.until:
        return state
    return AccountState(since=state.until, rests=state.rests)


def is_open(state: AccountState, now: float) -> bool:
    """Whether the next request may go there."""
    present = at(state, now)
    return present.kind is Availability.UP or (now >= present.until and present.probe_since is None)


def taken(state: AccountState, now: float) -> AccountState:
    """A request goes there, because it is open. If it needs a probe, this is the one."""
    present = at(state, now)
    return present if present.kind is Availability.UP else replace(present, probe_since=now)


def _is_heard(state: AccountState, chosen_at: float) -> bool:
    """Whether a request chosen then says something about this state."""
    if state.kind is Availability.UP:
        return chosen_at >= state.since
    return state.why is not Why.OPERATOR and (chosen_at == state.probe_since or chosen_at > state.since)


def answered(state: AccountState, chosen_at: float) -> AccountState:
    """An answer came that only an account in good order gets."""
    if not _is_heard(state, chosen_at) or (state.kind is Availability.UP and not state.rests):
        return state
    return AccountState(since=chosen_at)


def refused(state: AccountState, why: Why, chosen_at: float, now: float, pause: float) -> AccountState:
    """ZenMux refused a request for the account's sake. `pause` is in seconds, of `rate_pause` or `probe_pause`."""
    if not _is_heard(state, chosen_at):
        return state
    kind = Availability.RESTING if why is Why.RATE else Availability.DOWN
    return AccountState(kind, why, since=now, until=now + pause, rests=state.rests + 1)


def rate_pause(state: AccountState, retry_after_seconds: float | None, jitter: float) -> float:
    """How long an account rests after a 429."""
    if retry_after_seconds is not None:
        return max(RATE_SECONDS[0], min(retry_after_seconds, REST_SECONDS_MAX))
    return _grown(RATE_SECONDS, state.rests, jitter)


def probe_pause(state: AccountState, jitter: float) -> float:
    """How long until a request may probe an account that is down."""
    return _grown(PROBE_SECONDS, state.rests, jitter)


def connected(state: AccountState, chosen_at: float) -> AccountState:
    """A connection was made, or one that waited was used."""
    if not _is_heard(state, chosen_at) or (state.kind is Availability.UP and not state.failures and not state.rests):
        return state
    return AccountState(since=chosen_at)


def connection_failed(state: AccountState, chosen_at: float, now: float, jitter: float) -> AccountState:
    """No connection could be made. After five in a row, and after a probe, the way rests."""
    if not _is_heard(state, chosen_at):
        return state
    if state.kind is Availability.UP and state.failures + 1 < CONNECTION_FAILURES_MAX:
        return replace(state, failures=state.failures + 1)
    pause = _grown(CONNECTION_SECONDS, state.rests, jitter)
    return AccountState(Availability.RESTING, Why.CONNECTION, since=now, until=now + pause, rests=state.rests + 1)


def probe_ended(state: AccountState, chosen_at: float) -> AccountState:
    """The request is over. If it was the probe and told nothing, the next one may probe."""
    return replace(state, probe_since=None) if state.probe_since == chosen_at else state


def rested_by_operator(now: float, until: float = FOR_EVER) -> AccountState:
    """An operator takes it out. Nothing but time or an operator brings it back."""
    kind = Availability.DOWN if until == FOR_EVER else Availability.RESTING
    return AccountState(kind, Why.OPERATOR, since=now, until=until)


def resumed_by_operator(now: float) -> AccountState:
    """An operator says that it is in order. What was chosen before says nothing about it."""
    return AccountState(since=now)


def _grown(seconds: tuple[float, float], rests: int, jitter: float) -> float:
    """The pause after so many rests in a row: doubled for each, then shortened by up to a half."""
    first, most = seconds
    return min(first * float(1 << min(rests, 16)), most) * (2 - jitter) / 2
