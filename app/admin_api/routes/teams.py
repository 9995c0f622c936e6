"""/admin/v1/teams: list, show, make."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from app.admin.operator import Operator
from app.admin.teams import list_teams, put_team, show_team
from app.admin.views import TeamView
from app.admin_api.calls import ChangingCall, NoQuery, ReadingCall, Strict, thing
from app.admin_api.filters import TimesQuery
from app.admin_api.lists import listed, page_of
from app.admin_api.requests import StrictRoute
from app.admin_api.shapes.basics import DryRunShape, ListShape
from app.admin_api.shapes.people import TeamShape

router = APIRouter(prefix="/admin/v1/teams", tags=["teams"], route_class=StrictRoute)

Name = Annotated[str, Path(description="Its name or id.", max_length=200)]


class TeamBody(Strict):
    """A team has nothing but its name, and limits: PUT /admin/v1/limits."""


@router.get("", response_model=ListShape[TeamShape])
async def list_all_teams(request: Request, call: ReadingCall, asked: Annotated[TimesQuery, Query()]) -> Response:
    """Teams by name, with the names of their users."""

    def answer(operator: Operator) -> Response:
        wished = (each for each in list_teams(operator) if asked.has(each.team.created_at))
        rows, has_more = page_of([{"object": "team", **each.as_json()} for each in wished], asked)
        return listed(request, TeamShape, rows, has_more=has_more)

    return await call.answer(answer)


@router.get("/{name:path}", response_model=TeamShape)
async def show_one_team(name: Name, call: ReadingCall, _: NoQuery) -> Response:
    """One team."""
    return await call.show("team", lambda operator: show_team(operator, name).as_json())


@router.put("/{name:path}", response_model=TeamShape | DryRunShape, responses={201: {"model": TeamShape}})
async def make_team(name: Name, _: TeamBody, call: ChangingCall) -> Response:
    """Makes the team if there is none of this name. Put users into it with PUT /admin/v1/users/{name}."""
    return await call.change(lambda operator: put_team(operator, name), _put)


def _put(done: tuple[TeamView, bool]) -> Response:
    team, is_new = done
    return thing("team", team.as_json(), 201 if is_new else 200)
