"""Use cases of the ZenMux accounts: list them with their states, take one out, take it in again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

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


def list_accounts(operator: Operator, specs: Sequence[AccountSpec]) -> list[AccountView]:
    """Every account of the settings, in their order."""
    permit(operator.principal, Permission.READ_GATEWAY)
    with operator.reading() as connection:
        limits = limits_by_owner(connection, Scope.ACCOUNT)
        dead = look_at(connection, store_now_ms(connection)).dead
        found = shared.living_states(connection, dead)
        words = shared.operator_words(connection)
    now = operator.now
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


def rest_account(operator: Operator, specs: Sequence[AccountSpec], name: str, until: datetime | None) -> None:
    """Takes an account out in every process, until then or until it is resumed. Raises NotFound."""
    permit(operator.principal, Permission.OPERATE)
    check_account(specs, name)
    change = operator.change()
    with operator.writing() as connection:
        shared.rest_account(connection, name, until, change)


def resume_account(operator: Operator, specs: Sequence[AccountSpec], name: str) -> None:
    """Takes an account in again in every process, whatever kept it out. Raises NotFound."""
    permit(operator.principal, Permission.OPERATE)
    check_account(specs, name)
    change = operator.change()
    with operator.writing() as connection:
        shared.resume_account(connection, name, change)


def check_account(specs: Sequence[AccountSpec], name: str) -> None:
    """Raises NotFound if no ZenMux account has this name."""
    known = [spec.name for spec in specs]
    if name not in known:
        raise NotFound(f"There is no account {name}; there is: {', '.join(known) or 'none'}.")


def _badness(state: SharedState) -> int:
    return [Availability.UP, Availability.RESTING, Availability.DOWN].index(state.state)
