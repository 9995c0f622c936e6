"""Which limits apply to whom, and which counters they use; cached between transactions. Pure: the writer loads the
limits, and says when they may have changed.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from app.quotas.rules.counters import CounterKey
from app.quotas.rules.limits import Limit, Scope, Window
from app.quotas.rules.windows import FOREVER_MS, span_ms

_SCOPES_MAX = 50_000
_PLANS_MAX = 50_000


class Party(NamedTuple):
    """Who a reservation belongs to and what it asks for: everything that decides which limits apply."""

    key_id: str
    user_id: str
    team_id: str | None
    model: str
    account: str

    @property
    def scopes(self) -> tuple[tuple[str, str], ...]:
        """The (scope, scope_id) pairs whose limits apply."""
        mine = (
            (Scope.KEY.value, self.key_id),
            (Scope.USER.value, self.user_id),
            (Scope.GATEWAY.value, ""),
            (Scope.ACCOUNT.value, self.account),
        )
        return mine if self.team_id is None else (*mine, (Scope.TEAM.value, self.team_id))


class ApplicableLimits:
    """The limits that a reservation must pass and the counters it changes. These are always those of the windows in
    which it was made. Shared by all reservations of a party in the same windows; equal only to itself.
    """

    __slots__ = ("keys", "limits", "party")

    def __init__(self, party: Party, limits: tuple[tuple[Limit, int], ...], keys: tuple[CounterKey, ...]) -> None:
        """`limits` pairs each limit with the position, in `keys`, of its counter."""
        self.party = party
        self.limits = limits
        self.keys = keys


class Plan:
    """The limits that apply to a party, each with the position of its counter."""

    def __init__(self, party: Party, limits: Iterable[Limit]) -> None:
        positions: dict[tuple[str, str, str, Window], int] = {}
        self.limits: tuple[tuple[Limit, int], ...] = tuple(
            (limit, positions.setdefault(_look(limit), len(positions))) for limit in limits
        )
        self._party = party
        self._looks = tuple(positions)
        self._applicable = ApplicableLimits(party, self.limits, ())
        self._from_ms = self._until_ms = 0  # the span in which `_applicable` is right

    def applicable(self, at_ms: int) -> ApplicableLimits:
        """The limits for a reservation made at `at_ms`, and its counters, each once, in the order of their
        positions.
        """
        if not self._from_ms <= at_ms < self._until_ms:  # mostly the same windows as last time
            spans = [span_ms(window, at_ms) for *_, window in self._looks]
            keys = tuple(
                CounterKey(scope, scope_id, model, window.value, start)
                for (scope, scope_id, model, window), (start, _) in zip(self._looks, spans, strict=True)
            )
            self._applicable = ApplicableLimits(self._party, self.limits, keys)
            self._from_ms = max((start for start, _ in spans), default=0)
            self._until_ms = min((end for _, end in spans), default=FOREVER_MS)
        return self._applicable


def _look(limit: Limit) -> tuple[str, str, str, Window]:
    return limit.scope.value, limit.scope_id, limit.model, limit.counter_window


class LimitCache:
    """The limits of the scopes that were asked for, right for one revision of the database. Bounded."""

    def __init__(self) -> None:
        self._revision: int | None = None
        self._limits: dict[tuple[str, str], tuple[Limit, ...]] = {}
        self._plans: dict[Party, Plan] = {}

    def turn_to(self, revision: int) -> bool:
        """Clears the cache if the limits may have changed since. Returns whether it did."""
        turned = revision != self._revision
        if turned or len(self._limits) > _SCOPES_MAX or len(self._plans) > _PLANS_MAX:
            self._limits.clear()
            self._plans.clear()
        self._revision = revision
        return turned

    def missing(self, parties: Iterable[Party]) -> list[tuple[str, str]]:
        """The (scope, scope_id) pairs whose limits must be loaded before a plan for these parties can be made."""
        scopes = {scope for party in parties if party not in self._plans for scope in party.scopes}
        return sorted(scopes - self._limits.keys())

    def bring(self, scope: tuple[str, str], limits: Sequence[Limit]) -> None:
        """Adds the limits of one scope, as the database has them at the present revision."""
        self._limits[scope] = tuple(limits)

    def plan(self, party: Party) -> Plan:
        """The plan of a party. The limits of its scopes must be loaded."""
        plan = self._plans.get(party)
        if plan is None:
            limits = [limit for scope in party.scopes for limit in self._limits[scope]]
            plan = self._plans[party] = Plan(party, (limit for limit in limits if limit.model in ("", party.model)))
        return plan
