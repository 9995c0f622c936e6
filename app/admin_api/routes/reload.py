"""POST /admin/v1/reload: the same as SIGHUP, with an answer."""

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from app.admin.access.permissions import Permission, permit
from app.admin_api.calls import NoQuery, ReadingCall
from app.admin_api.requests import StrictRoute
from app.admin_api.shapes.basics import ReloadShape

router = APIRouter(prefix="/admin/v1", tags=["gateway"], route_class=StrictRoute)


@router.post("/reload", response_model=ReloadShape)
async def reload(call: ReadingCall, _: NoQuery) -> Response:
    """Reads accounts, catalog, thresholds, webhook and set-up file again. Answers once the process that was asked uses
    them; other workers of it follow at once. 409 says what is wrong: then nothing has changed."""
    permit(call.principal, Permission.OPERATE)
    current = call.services.configuration
    state = await current.reload()
    read_at = state.read_at.isoformat(timespec="seconds")
    names = list(state.needs_restart)
    return JSONResponse({"object": "reload", "hash": current.hash, "read_at": read_at, "needs_restart": names})
