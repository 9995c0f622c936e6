"""Use cases of the ZenMux accounts: list them with their states, take one out, take it in again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from app.admin.access.permissions import Permission, permit
from app.admin.limits import limits_by_owner
from app.admin.operator import Operator
from app.errors import NotFound
from app.quotas.ledger.liveness.heartbeat import look_at, store_now_ms
from app.quotas.rules.limits import Scope
from app.settings.accounts import AccountSpec
from app.upstream.accounts import shared
from app.upstream.accounts.shared import SharedState
from app.upstream.accounts.states import Availability


@dataclass(frozen=True, slots=True)
class AccountView:
    """One account: how it is set, and what the running processes say of it. `processes` 0: no gateway runs.

    `state` is the worst that any process says. `rested` is what an operator says, whether or not a gateway runs, and
    `rested_at` when that was said.
    """

    spec: AccountSpec
    limits: tuple[str, ...]
    processes: int
    processes_up: int
    state: str
    why: str | None
    until: datetime | None
    rested: bool
    rested_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.spec.name,
            "weight": self.spec.weight,
            "base_url": self.spec.base_url,
            "models": list(self.spec.models),
            "limits": list(self.limits),
            "state": self.state,
            "why": self.why,
            "until": self.until.isoformat(timespec="seconds") if self.until else None,
            "rested_by_operator": self.rested,
            "processes": self.processes,
            "processes_up": self.processes_up,
        }

    def as_thing(self) -> dict[str, Any]:
        """The same with an id, as a list over HTTP has it: what its ETag is made of."""
        return {"id": self.spec.name, **self.as_json()}


def list_accounts(operator: Operator, specs: Sequence[AccountSpec]) -> list[AccountView]:
    """Every account of the settings, in their order."""
    permit(operator.principal, Permission.READ_GATEWAY)
    with operator.reading() as connection:
        return _views(connection, specs, operator.now)


def show_account(operator: Operator, specs: Sequence[AccountSpec], name: str) -> AccountView:
    """One of them. Raises NotFound."""
    permit(operator.principal, Permission.READ_GATEWAY)
    check_account(specs, name)
    with operator.reading() as connection:
        return _view(connection, specs, name, operator.now)


def rest_account(operator: Operator, specs: Sequence[AccountSpec], name: str, until: datetime | None) -> AccountView:
    """Takes an account out in every process, until then or until it is resumed. Raises NotFound, ChangedMeanwhile."""
    change = operator.change()
    return _say(operator, specs, name, lambda connection: shared.rest_account(connection, name, until, change))


def resume_account(operator: Operator, specs: Sequence[AccountSpec], name: str) -> AccountView:
    """Takes an account in again in every process, whatever kept it out. Raises NotFound, ChangedMeanwhile."""
    change = operator.change()
    return _say(operator, specs, name, lambda connection: shared.resume_account(connection, name, change))


def check_account(specs: Sequence[AccountSpec], name: str) -> None:
    """Raises NotFound if no ZenMux account has this name."""
    known = [spec.name for spec in specs]
    if name not in known:
        raise NotFound(f"There is no account {name}; there is: {', '.join(known) or 'none'}.")


def _say(operator: Operator, specs: Sequence[AccountSpec], name: str, say: Callable[[Connection], None]) -> AccountView:
    permit(operator.principal, Permission.OPERATE)
    check_account(specs, name)
    with operator.writing() as connection:
        operator.expected.check(_view(connection, specs, name, operator.now).as_thing())
        say(connection)
        return _view(connection, specs, name, operator.now)


def _view(connection: Connection, specs: Sequence[AccountSpec], name: str, now: datetime) -> AccountView:
    return next(each for each in _views(connection, specs, now) if each.spec.name == name)


def _views(connection: Connection, specs: Sequence[AccountSpec], now: datetime) -> list[AccountView]:
    limits = limits_by_owner(connection, Scope.ACCOUNT)
    dead = look_at(connection, store_now_ms(connection)).dead
    found = shared.living_states(connection, dead)
    words = shared.operator_words(connection)
    views = []
    for spec in specs:
        mine = [each for each in found if each.account == spec.name]
        word = words.get(spec.name)
        is_rested = word is not None and not word.is_up and (word.until is None or word.until > now)
        worst = max(mine, key=_badness, default=None)
        state, why, until = (worst.state.value, worst.why, worst.until) if worst else ("not running", None, None)
        if is_rested and word is not None:
            state, why, until = ("down" if word.until is None else "resting"), "operator", word.until
        since = word.at if is_rested and word is not None else None
        up = sum(each.state is Availability.UP for each in mine)
        views.append(AccountView(spec, limits.get(spec.name, ()), len(mine), up, state, why, until, is_rested, since))
    return views


def _badness(state: SharedState) -> int:
    return [Availability.UP, Availability.RESTING, Availability.DOWN].index(state.state)
