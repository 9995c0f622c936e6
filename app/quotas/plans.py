"""Which limits apply to whom, and which counters they look at; remembered between transactions. Pure: limits are
brought to it by the writer, and it never guesses that they are still right."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.quotas.counters import Calendar, CounterKey
from app.quotas.limits import Limit, Scope, Window

_SCOPES_MAX = 50_000
_PLANS_MAX = 50_000


class Party(NamedTuple):
    """Who a reservation belongs to and what it asks for: everything that decides which limits apply."""

    key_id: str
    user_id: str
    team_id: str | None
    model: str

    @property
    def scopes(self) -> tuple[tuple[str, str], ...]:
        """The (scope, scope_id) whose limits apply."""
        mine = ((Scope.GATEWAY.value, ""), (Scope.USER.value, self.user_id), (Scope.KEY.value, self.key_id))
        return mine if self.team_id is None else (*mine, (Scope.TEAM.value, self.team_id))


@dataclass(frozen=True, slots=True)
class Plan:
    """The limits that apply to a party, each with the position in `looks` of the counter it looks at."""

    limits: tuple[tuple[Limit, int], ...]
    looks: tuple[tuple[str, str, str, Window], ...]  # a CounterKey without the window's start

    def keys(self, at_ms: int, calendar: Calendar) -> tuple[CounterKey, ...]:
        """The counters of a reservation made at `at_ms`, in the order of `looks`."""
        return tuple(
            CounterKey(scope, scope_id, model, window, calendar.start_ms(window, at_ms))
            for scope, scope_id, model, window in self.looks
        )


def make_plan(limits: Iterable[Limit], model: str) -> Plan:
    """Which of `limits` apply to a request for `model`, and which counters they look at, each named once."""
    positions: dict[tuple[str, str, str, Window], int] = {}
    applying: list[tuple[Limit, int]] = []
    for limit in limits:
        if limit.model in ("", model):
            look = (limit.scope.value, limit.scope_id, limit.model, limit.counter_window)
            applying.append((limit, positions.setdefault(look, len(positions))))
    return Plan(tuple(applying), tuple(positions))


class LimitBook:
    """The limits of the scopes that were asked for, right for one revision of the database. Bounded."""

    def __init__(self) -> None:
        self._revision: int | None = None
        self._limits: dict[tuple[str, str], tuple[Limit, ...]] = {}
        self._plans: dict[Party, Plan] = {}

    def turn_to(self, revision: int) -> bool:
        """Forgets everything when the limits may have changed since; says whether it did."""
        turned = revision != self._revision
        if turned or len(self._limits) > _SCOPES_MAX or len(self._plans) > _PLANS_MAX:
            self._limits.clear()
            self._plans.clear()
        self._revision = revision
        return turned

    def missing(self, parties: Iterable[Party]) -> list[tuple[str, str]]:
        """The (scope, scope_id) whose limits have to be brought before these parties can be planned for."""
        scopes = {scope for party in parties if party not in self._plans for scope in party.scopes}
        return sorted(scopes - self._limits.keys())

    def bring(self, scope: tuple[str, str], limits: Sequence[Limit]) -> None:
        """The limits of one scope, as the database has them at the present revision."""
        self._limits[scope] = tuple(limits)

    def plan(self, party: Party) -> Plan:
        """The plan of a party whose scopes' limits have all been brought."""
        plan = self._plans.get(party)
        if plan is None:
            limits = [limit for scope in party.scopes for limit in self._limits[scope]]
            plan = self._plans[party] = make_plan(limits, party.model)
        return plan
