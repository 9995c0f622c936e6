"""/v1/usage: callers see their own limits, what is used of them and when they reset. Nobody else's."""

from typing import Any

from fastapi import APIRouter, Request

from app.api.services import authenticated, services
from app.quotas.limits import Unit, format_usd
from app.quotas.standing import LimitStatus

router = APIRouter(prefix="/v1/usage")


@router.get("")
async def show_usage(request: Request) -> dict[str, Any]:
    """The limits that apply to this key, of whatever scope, and where each stands."""
    house = services(request)
    caller = await authenticated(request)
    statuses = await house.ledger.limits_of(caller.key_id, caller.user_id, caller.team_id, house.clock())
    return {
        "object": "usage",
        "key": {"id": caller.key_id, "name": caller.key_name},
        "user": caller.user_name,
        "team": caller.team_name,
        "limits": [limit_fields(status) for status in statuses if status.may_apply_to(caller.models)],
    }


def limit_fields(status: LimitStatus) -> dict[str, Any]:
    """One limit for programs. Money is in dollars, as text, so that none of it is lost in a float."""
    limit = status.limit

    def amount(value: int) -> int | str:
        return format_usd(value) if limit.unit is Unit.USD else value

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
        "resets_at": status.resets_at.isoformat() if status.resets_at else None,
    }
