"""GET /admin/v1/status: which gateway this is, and as whom one asks."""

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

import app
from app.admin.reads.status import read_status
from app.admin_api.calls import NoQuery, ReadingCall
from app.admin_api.requests import StrictRoute
from app.admin_api.shapes.basics import StatusShape

router = APIRouter(prefix="/admin/v1", tags=["status"], route_class=StrictRoute)


@router.get("/status", response_model=StatusShape)
async def show_status(call: ReadingCall, _: NoQuery) -> Response:
    """The version, the schema, the revision of keys and limits; who asks, and what they may."""
    found = await call.read(read_status)
    return JSONResponse({"object": "status", "version": app.__version__, **found.as_json()})
