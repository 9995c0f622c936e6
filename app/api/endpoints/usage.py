"""/v1/usage: callers see their own limits, what is used of them and when they reset. Of the gateway's own limits they
see only the used share.
"""

from typing import Any

from fastapi import APIRouter, Request

from app.admin.views import limit_status_json
from app.api.routes import USAGE
from app.api.services import Services, authenticated, services_of
from app.quotas.reports.limit_status import read_limit_status
from app.quotas.rules.limits import Scope

router = APIRouter(prefix=USAGE)


@router.get("")
async def show_usage(request: Request) -> dict[str, Any]:
    """The limits that apply to this key, of every scope, with their status."""
    services = services_of(request)
    caller = await authenticated(request)
    now = services.clock()
    statuses = await services.usage_readers.run(
        lambda: read_limit_status(services.engine, caller.key_id, caller.user_id, caller.team_id, now),
        services.settings.ledger_wait_seconds,
    )
    return {
        "object": "usage",
        "key": {"id": caller.key_id, "name": caller.key_name},
        "user": caller.user_name,
        "team": caller.team_name,
        "limits": [
            shown_limit(limit_status_json(status), services)
            for status in statuses
            if status.may_apply_to(caller.models)
        ],
    }


def shown_limit(fields: dict[str, Any], services: Services) -> dict[str, Any]:
    """A limit's status as callers see it. The total of all callers is for the operator only, but everyone needs to know
    how soon images will be refused."""
    if fields["scope"] == Scope.GATEWAY and not services.settings.usage_shows_gateway:
        unit, window = fields["unit"], fields["window"]
        return fields | {"limit": f"{unit}/{window}", **dict.fromkeys(("amount", "used", "pending", "left"))}
    return fields
