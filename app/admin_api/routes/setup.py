"""POST /admin/v1/apply: make the set-up be as a gateway.yaml says; or show what would change."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from app.admin.access.expected import ANYTHING
from app.admin.catalog import catalog_lines
from app.admin.lookup.model_names import ModelNames
from app.admin.operator import Operator
from app.admin.setup.apply import Applied, apply_setup
from app.admin_api.access import Asking
from app.admin_api.calls import ChangeQuery, Changing, Unconditional
from app.admin_api.requests import StrictRoute
from app.admin_api.shapes.basics import DryRunShape
from app.admin_api.shapes.records import AppliedShape
from app.api.body import read_body
from app.api.services import services_of
from app.errors import InvalidRequest
from app.setup.catalog import catalog_with
from app.setup.reading import read_setup
from app.setup.tree import SetupError

router = APIRouter(prefix="/admin/v1", tags=["apply"], route_class=StrictRoute)

_FILE_BYTES_MAX = 1_000_000
_BODY = {
    "requestBody": {
        "required": True,
        "description": "The file as it is.",
        "content": {"application/yaml": {"schema": {"type": "string"}}},
    }
}


class ApplyQuery(ChangeQuery):
    """How the file is applied."""

    file: str = Field(
        "gateway.yaml", description="Its name, which objects remember.", pattern=r"^[A-Za-z0-9._-]{1,100}$"
    )
    prune: bool = Field(default=False, description="Disables what the file made and does not mention any more.")


@router.post("/apply", response_model=AppliedShape | DryRunShape, openapi_extra=_BODY, dependencies=[Unconditional])
async def apply_one_file(request: Request, principal: Asking, asked: Annotated[ApplyQuery, Query()]) -> Response:
    """Makes teams, users, keys and limits be as the file says: all of it, or nothing."""
    services = services_of(request)
    content = await read_body(request, _FILE_BYTES_MAX)
    settings, catalog = services.settings, services.policy.catalog
    call = Changing(services, principal, ANYTHING, asked.dry_run)

    def apply(operator: Operator) -> tuple[Applied, list[str]]:
        file = read_setup(content, asked.file)
        models = catalog_with(catalog, file)
        applied = apply_setup(operator, file, ModelNames.of(settings, models), prune=asked.prune)
        return applied, list(catalog_lines(catalog, models))

    try:
        return await call.change(apply, _applied)
    except SetupError as error:  # the file came with the request
        raise InvalidRequest(error.message, param=None, code="invalid_value") from None


def _applied(done: tuple[Applied, list[str]]) -> Response:
    applied, models = done
    return JSONResponse(
        {
            "object": "applied",
            "changes": list(applied.plan.lines()),
            "notices": list(applied.plan.notices),
            "unclaimed": [id_ for _, id_ in applied.unclaimed],
            "models": models,
        }
    )
