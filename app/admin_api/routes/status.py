"""GET /admin/v1/status: which gateway this is, and as whom one asks."""

from fastapi import APIRouter
from starlette.responses import Response

import app
from app.admin.operator import Operator
from app.admin.reads.status import read_status
from app.admin_api.calls import NoQuery, ReadingCall
from app.admin_api.json_answers import JsonAnswer
from app.admin_api.requests import StrictRoute
from app.admin_api.shapes.basics import StatusShape

router = APIRouter(prefix="/admin/v1", tags=["status"], route_class=StrictRoute)


@router.get("/status", response_model=StatusShape)
async def show_status(call: ReadingCall, _: NoQuery) -> Response:
    """The version, the schema, the revision of keys and limits; who asks, and what they may."""

    def answer(operator: Operator) -> Response:
        return JsonAnswer({"object": "status", "version": app.__version__, **read_status(operator).as_json()})

    return await call.answer(answer)
