"""POST /admin/v1/reload: the same as SIGHUP, with an answer."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from app.admin.access.permissions import Permission, permit
from app.admin.views import iso
from app.admin_api.calls import ChangeQuery, ReadingCall, Unconditional
from app.admin_api.requests import StrictRoute
from app.admin_api.shapes.basics import ReloadShape, ReloadTrialShape

router = APIRouter(prefix="/admin/v1", tags=["gateway"], route_class=StrictRoute)


@router.post("/reload", response_model=ReloadShape | ReloadTrialShape, dependencies=[Unconditional])
async def reload(call: ReadingCall, asked: Annotated[ChangeQuery, Query()]) -> Response:
    """Reads accounts, catalog, thresholds, webhook and set-up file again. Answers once the process that was asked uses
    them; other workers of it follow at once. 409 says what is wrong: then nothing has changed."""
    permit(call.principal, Permission.OPERATE)
    current = call.services.configuration
    state = await current.reload(is_trial=asked.dry_run)
    found = {"hash": current.hash_of(state.configuration), "needs_restart": list(state.needs_restart)}
    found["models"] = list(state.models)
    if state.is_trial:
        return JSONResponse({"object": "dry_run", "changes": list(state.trial_changes or ()), **found})
    return JSONResponse({"object": "reload", "read_at": iso(state.read_at), **found})
