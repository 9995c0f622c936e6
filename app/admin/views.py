"""What the use cases of people, keys and limits return, with the one JSON form of each. Pure values."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pydantic import SecretStr

from app.database.clock import from_ms
from app.identity.keys.keys import Key
from app.identity.people.teams import Team
from app.identity.people.users import User
from app.images.cost.pricing import estimate, least_estimate
from app.images.request.normalize import ImageRequest
from app.quotas.reports.forecast import Forecast
from app.quotas.reports.limit_status import LimitStatus
from app.quotas.rules.limits import Limit, Unit, describe_amount, format_limit, format_usd


@dataclass(frozen=True, slots=True)
class UserView:
    """A user with the ids of their keys and their own limits in written form."""

    user: User
    keys: tuple[str, ...]
    limits: tuple[str, ...]

    @property
    def state(self) -> str:
        return "active" if self.user.disabled_at is None else "disabled"

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.user.id,
            "name": self.user.name,
            "team": self.user.team_name,
            "team_id": self.user.team_id,
            "role": self.user.role,
            "state": self.state,
            "keys": list(self.keys),
            "limits": list(self.limits),
            "created_at": iso(self.user.created_at),
            "disabled_at": iso(self.user.disabled_at),
        }


@dataclass(frozen=True, slots=True)
class TeamView:
    """A team with the names of its users and its limits in written form."""

    team: Team
    users: tuple[str, ...]
    limits: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.team.id,
            "name": self.team.name,
            "users": list(self.users),
            "limits": list(self.limits),
            "created_at": iso(self.team.created_at),
        }


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key with its own limits in written form. Its text is in no database, so it is not here."""

    key: Key
    limits: tuple[str, ...]

    def state(self, now: datetime) -> str:
        """`active`, `expired` or `disabled`."""
        if self.key.disabled_at is not None:
            return "disabled"
        return "expired" if self.key.expires_at is not None and self.key.expires_at <= now else "active"

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.key.id,
            "name": self.key.name,
            "user": self.key.user_name,
            "user_id": self.key.user_id,
            "models": None if self.key.models is None else list(self.key.models),
            "limits": list(self.limits),
            "role": self.key.role,
            "created_at": iso(self.key.created_at),
            "expires_at": iso(self.key.expires_at),
            "disabled_at": iso(self.key.disabled_at),
        }


@dataclass(frozen=True, slots=True)
class MintedKeyView:
    """A key with its text, which is shown only this once. `owner_is_new`: the user was made for it."""

    text: SecretStr
    key: KeyView
    owner: UserView
    owner_is_new: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"key": self.text.get_secret_value(), **self.key.as_json()}


@dataclass(frozen=True, slots=True)
class LimitView:
    """A limit, and the name of its owner: a user's or team's name, a key's id; None for the gateway and the
    defaults.
    """

    id: int
    limit: Limit
    name: str | None

    def as_json(self) -> dict[str, Any]:
        limit = self.limit
        return {
            "id": str(self.id),
            "limit": format_limit(limit),
            "scope": limit.scope.value,
            "scope_id": limit.scope_id or None,
            "name": self.name,
            "unit": limit.unit.value,
            "window": limit.window.value,
            "model": limit.model or None,
            "shadow": limit.shadow,
            **_set_amount(limit),
            "raised_to": None if limit.raised_amount is None else _amount_json(limit.unit, limit.raised_amount),
            "raised_until": _until(limit),
        }


@dataclass(frozen=True, slots=True)
class LimitStatusView:
    """A limit, its owner, and how much of it is used, pending and left."""

    status: LimitStatus
    name: str | None

    def as_json(self) -> dict[str, Any]:
        return limit_status_json(self.status)


def limit_status_json(status: LimitStatus) -> dict[str, Any]:
    """A limit and its usage, for programs. Money is in dollars, as text, because a float could lose some of it."""
    limit = status.limit
    amount = partial(_amount_json, limit.unit)
    return {
        "limit": status.written,
        "scope": limit.scope.value,
        "unit": limit.unit.value,
        "window": limit.window.value,
        "model": limit.model or None,
        "shadow": limit.shadow,
        "amount": amount(limit.amount),
        "used": amount(status.used),
        "pending": amount(status.pending),
        "left": amount(status.left),
        "used_ratio": round(status.used / limit.amount, 2) if limit.amount else 1.0,
        "resets_at": status.resets_at.isoformat() if status.resets_at else None,
        "raised_until": _until(limit),
    }


def forecast_json(request: ImageRequest, found: Forecast) -> dict[str, Any]:
    """What a request would take at least and at most, and what it would meet. `limits` are in the order of `found`."""
    least, most = least_estimate(request), estimate(request)
    return {
        "admitted": found.refusal is None,
        "images": most.images,
        "tokens": {"at_least": least.tokens, "at_most": most.tokens},
        "cost_usd": {"at_least": format_usd(least.nanousd), "at_most": format_usd(most.nanousd)},
        "priced": most.priced,
        "limits": [
            limit_status_json(each.status)
            | {"needed": _amount_json(each.status.limit.unit, each.needed), "fits": each.fits}
            for each in found.limits
        ],
    }


def written_limit(limit: Limit) -> str:
    """A limit for people: as it is typed, and whether it is a shadow limit."""
    raised = ""
    if limit.raised_amount is not None and limit.raised_until_ms is not None:
        amount = describe_amount(limit.unit, limit.raised_amount)
        raised = f" (raised to {amount} until {from_ms(limit.raised_until_ms):%Y-%m-%d %H:%M} UTC)"
    return format_limit(limit) + (" (shadow)" if limit.shadow else "") + raised


def iso(moment: datetime | None) -> str | None:
    """`2026-11-24T09:30:00Z`: a moment as JSON answers hold it."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _amount_json(unit: Unit, value: int) -> int | str:
    return format_usd(value) if unit is Unit.USD else value


def _until(limit: Limit) -> str | None:
    return None if limit.raised_until_ms is None else iso(from_ms(limit.raised_until_ms))


def _set_amount(limit: Limit) -> dict[str, Any]:
    """A count as it is; money as text in dollars and as a whole number of nano-dollars."""
    if limit.unit is not Unit.USD:
        return {"amount": limit.amount}
    return {"amount_usd": format_usd(limit.amount), "amount_nanousd": limit.amount}
