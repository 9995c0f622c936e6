"""Who asks: the principal behind a request's credential. A request has no other way to say who it is."""

import hmac
from typing import Annotated

from fastapi import Depends, Request

from app.api.services import authenticated, presented, services_of
from app.identity.people.principal import Principal
from app.identity.people.roles import Role

ADMIN_KEY_ACTOR = "admin-key"
"""How the list of changes names GATEWAY_ADMIN_KEY."""


async def principal_of(request: Request) -> Principal:
    """GATEWAY_ADMIN_KEY is an admin; a key is what its role says, without one a member: its user's own things.

    Raises AuthenticationFailed, StoreUnavailable.
    """
    admin_key = services_of(request).settings.admin_key
    if admin_key is not None:
        expected = b"Bearer " + admin_key.get_secret_value().encode()
        if hmac.compare_digest((presented(request) or "").encode(), expected):
            return Principal(ADMIN_KEY_ACTOR, Role.ADMIN)
    caller = await authenticated(request)
    role = caller.role or Role.MEMBER
    return Principal(f"key:{caller.key_id}", role, caller.user_id, caller.team_id, caller.key_id)


Asking = Annotated[Principal, Depends(principal_of)]
