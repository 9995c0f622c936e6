"""GET /admin/v1/status: which gateway this is, and as whom one asks."""

from typing import Any

from fastapi import APIRouter, Request

import app
from app.admin.reads.status import read_status
from app.admin_api.access import Asking
from app.api.services import services_of

router = APIRouter()


@router.get("/admin/v1/status")
async def show_status(request: Request, principal: Asking) -> dict[str, Any]:
    """The version, the schema, the revision of keys and limits; who asks, and what they may."""
    services = services_of(request)
    found = await services.administration.read(principal, read_status)
    return {"object": "status", "version": app.__version__, **found.as_json()}
