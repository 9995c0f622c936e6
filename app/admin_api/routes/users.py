"""/admin/v1/users: list, show, make and change, disable."""

from typing import Annotated, cast

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from app.admin.operator import Operator
from app.admin.users import UserFields, disable_user, list_users, put_user, show_user
from app.admin.views import UserView
from app.admin_api.calls import ChangingCall, NoQuery, ReadingCall, Strict, thing
from app.admin_api.filters import TimesQuery
from app.admin_api.lists import listed, page_of
from app.admin_api.requests import StrictRoute
from app.admin_api.shapes.basics import DryRunShape, ListShape
from app.admin_api.shapes.people import UserShape
from app.identity.people.roles import Role

router = APIRouter(prefix="/admin/v1/users", tags=["users"], route_class=StrictRoute)

Name = Annotated[str, Path(description="Their name or id.", max_length=200)]


class UserBody(Strict):
    """What is left out stays as it is; of a new user it is as usual."""

    team: str | None = Field(None, description="A team's name or id; null: in no team.", max_length=200)
    role: Role = Field(Role.MEMBER, description="What they may do when they sign in.")
    disabled: bool = Field(default=False, description="None of their keys works.")


class UsersQuery(TimesQuery):
    """Which users."""

    team: str | None = Field(None, description="Only of the team with this name or id.", max_length=200)
    name: str | None = Field(None, description="Only with this in their name.", max_length=200)


@router.get("", response_model=ListShape[UserShape])
async def list_all_users(request: Request, call: ReadingCall, asked: Annotated[UsersQuery, Query()]) -> Response:
    """Users by name."""

    def answer(operator: Operator) -> Response:
        found = [
            {"object": "user", **each.as_json()}
            for each in list_users(operator)
            if asked.team in (None, each.user.team_name, each.user.team_id)
            and (asked.name is None or asked.name.casefold() in each.user.name.casefold())
            and asked.has(each.user.created_at)
        ]
        rows, has_more = page_of(found, asked)
        return listed(request, UserShape, rows, has_more=has_more)

    return await call.answer(answer)


@router.get("/{name:path}", response_model=UserShape)
async def show_one_user(name: Name, call: ReadingCall, _: NoQuery) -> Response:
    """One user."""
    return await call.show("user", lambda operator: show_user(operator, name).as_json())


@router.put("/{name:path}", response_model=UserShape | DryRunShape, responses={201: {"model": UserShape}})
async def make_or_change_user(name: Name, body: UserBody, call: ChangingCall) -> Response:
    """Makes the user, with a copy of the default limits, or changes what the body names."""
    fields = cast("UserFields", body.model_dump(exclude_unset=True))
    return await call.change(lambda operator: put_user(operator, name, fields), _put)


@router.delete("/{name:path}", response_model=UserShape | DryRunShape)
async def disable_one_user(name: Name, call: ChangingCall) -> Response:
    """Disables the user: none of their keys works. Their records stay."""
    return await call.change(lambda operator: disable_user(operator, name), lambda done: thing("user", done.as_json()))


def _put(done: tuple[UserView, bool]) -> Response:
    user, is_new = done
    return thing("user", user.as_json(), 201 if is_new else 200)
