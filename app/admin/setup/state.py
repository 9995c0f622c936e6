"""A set-up by names: teams, users, keys and limits with what a file may say of each. Pure values."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from app.quotas.rules.limits import Scope, Unit, Window, WrittenLimit, format_limit

Owner = tuple[str, ...]
"""() for the gateway and the defaults, a team's or user's name, or a user's and a key's name."""


@dataclass(frozen=True, slots=True)
class TeamState:
    """A team."""

    managed_by: str | None


@dataclass(frozen=True, slots=True)
class UserState:
    """A user; `team` is a name."""

    team: str | None
    role: str
    disabled: bool
    managed_by: str | None


@dataclass(frozen=True, slots=True)
class KeyState:
    """A key; `models` are full catalog ids. `secrets`: the hashes of all that it has or had."""

    models: tuple[str, ...] | None
    expires_at: datetime | None
    disabled: bool
    managed_by: str | None
    secrets: frozenset[bytes] = field(default=frozenset(), repr=False)


class LimitAt(NamedTuple):
    """Where a limit is: whose it is, and what it counts."""

    scope: Scope
    owner: Owner
    unit: Unit
    window: Window
    model: str

    def written(self, amount: int) -> str:
        return format_limit(WrittenLimit(self.unit, amount, self.window, self.model))


@dataclass(frozen=True, slots=True)
class LimitState:
    """How much a limit allows."""

    amount: int
    shadow: bool
    managed_by: str | None


@dataclass(slots=True)
class SetupState:
    """Everything by name. Keys without a name, or with the same name as another one of their user, are not in it."""

    teams: dict[str, TeamState] = field(default_factory=dict)
    users: dict[str, UserState] = field(default_factory=dict)
    keys: dict[tuple[str, str], KeyState] = field(default_factory=dict)
    limits: dict[LimitAt, LimitState] = field(default_factory=dict)

    def copy(self) -> "SetupState":
        return SetupState(dict(self.teams), dict(self.users), dict(self.keys), dict(self.limits))


_Name = TypeVar("_Name")
_Fields = TypeVar("_Fields")


@dataclass(frozen=True)
class Step(Generic[_Name, _Fields]):
    """One object before and after; None where it is not there."""

    name: _Name
    before: _Fields | None
    after: _Fields | None


TeamStep = Step[str, TeamState]
UserStep = Step[str, UserState]
KeyStep = Step[tuple[str, str], KeyState]
LimitStep = Step[LimitAt, LimitState]


def steps(before: dict[_Name, _Fields], after: dict[_Name, _Fields]) -> Iterator[Step[_Name, _Fields]]:
    """What differs, in the order of `after`; then what is gone."""
    for name, fields in after.items():
        if before.get(name) != fields:
            yield Step(name, before.get(name), fields)
    for name, gone in before.items():
        if name not in after:
            yield Step(name, gone, None)
