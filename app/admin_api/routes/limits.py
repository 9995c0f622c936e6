"""/admin/v1/limits: list, show, set, remove; explain what a request would meet."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from app.admin.limits import Raise, Target, list_limits, put_limit, remove_limit, show_limit
from app.admin.lookup.model_names import ModelNames
from app.admin.operator import Operator
from app.admin.reads.explain import explain_request
from app.admin.views import LimitView
from app.admin.zenmux.accounts import check_account
from app.admin_api.calls import ChangingCall, NoQuery, ReadingCall, Strict, Unconditional, thing
from app.admin_api.json_answers import JsonAnswer
from app.admin_api.lists import PageQuery, listed, page_of
from app.admin_api.requests import StrictRoute, of_field
from app.admin_api.shapes.basics import DryRunShape, ListShape
from app.admin_api.shapes.people import LimitShape
from app.admin_api.shapes.records import ExplanationShape
from app.admin_api.times import Moment
from app.api.endpoints.usage import shown_limit
from app.errors import InvalidRequest
from app.identity.people.roles import Role
from app.images.request.normalize import normalize
from app.quotas.rules.limits import Scope, Unit, Window, parse_limit

router = APIRouter(prefix="/admin/v1/limits", tags=["limits"], route_class=StrictRoute)

LimitId = Annotated[int, Path(description="Its id.", ge=1, le=2**62)]
_UNOWNED = (Scope.GATEWAY, Scope.DEFAULT)


class LimitBody(Strict):
    """A limit. There is one for each scope, name, unit, window and model."""

    scope: Scope = Field(description="Whose usage it counts; `default` is copied to every new user.")
    name: str | None = Field(
        None, description="A key's id, a user's or team's name or id, an account's name.", max_length=200
    )
    unit: Unit
    window: Window | None = Field(None, description="UTC calendar. Not for `concurrent`.")
    model: str | None = Field(None, description="Counts only this model.", max_length=200)
    amount: int | str = Field(description='A whole number; for `usd` a text: "5.50".', examples=[100, "5.50"])
    shadow: bool = Field(default=False, description="Only counts, and shows what it would refuse.")
    raised_to: int | str | None = Field(None, description="Allows so much until `raised_until`.")
    raised_until: Moment | None = Field(None, description="After it, `amount` counts again.")

    @property
    def raised(self) -> Raise | None:
        """Raises InvalidRequest if half of it is missing, or its amount is none."""
        if self.raised_to is None and self.raised_until is None:
            return None
        if self.raised_to is None or self.raised_until is None:
            missing = "raised_to" if self.raised_to is None else "raised_until"
            message = "A raise needs both raised_to and raised_until."
            raise InvalidRequest(message, param=missing, code="missing_required_parameter")
        window = "" if self.unit is Unit.CONCURRENT else "/day"
        with of_field("raised_to"):
            return Raise(parse_limit(f"{self.unit}:{self.raised_to}{window}").amount, self.raised_until)

    @property
    def written(self) -> str:
        window = f"/{self.window}" if self.window is not None and self.window is not Window.NOW else ""
        return f"{self.unit}:{self.amount}{window}{f'@{self.model}' if self.model is not None else ''}"

    @property
    def target(self) -> Target:
        """Raises InvalidRequest if the scope has owners and none is named, or the other way round."""
        if (self.scope in _UNOWNED) != (self.name is None):
            what = "has no 'name'. Leave it out" if self.scope in _UNOWNED else "needs a 'name'. Say whose limit it is"
            raise InvalidRequest(f"The scope {self.scope} {what}.", param="name", code="invalid_value")
        return Target(self.scope, self.name or "")


class ExplainBody(Strict):
    """A request that nobody makes."""

    user: str | None = Field(None, description="Whose: a name or id.", max_length=200)
    key: str | None = Field(None, description="Or with which key, by its id.", max_length=200)
    model: str | None = Field(None, max_length=200)
    size: str | None = Field(None, max_length=40)
    quality: str | None = Field(None, max_length=40)
    n: int | None = Field(None, ge=1, le=1000)


class LimitsQuery(PageQuery):
    """Which limits."""

    scope: Scope | None = Field(None, description="Only of this scope.")
    name: str | None = Field(None, description="Only of this owner, by name or id.", max_length=200)


@router.get("", response_model=ListShape[LimitShape])
async def list_all_limits(request: Request, call: ReadingCall, asked: Annotated[LimitsQuery, Query()]) -> Response:
    """Limits, by scope and owner."""

    def answer(operator: Operator) -> Response:
        found = [
            {"object": "limit", **each.as_json()}
            for each in list_limits(operator)
            if asked.scope in (None, each.limit.scope) and asked.name in (None, each.limit.scope_id, each.name)
        ]
        rows, has_more = page_of(found, asked)
        return listed(request, LimitShape, rows, has_more=has_more)

    return await call.answer(answer)


@router.put("", response_model=LimitShape | DryRunShape, responses={201: {"model": LimitShape}})
async def set_one_limit(body: LimitBody, call: ChangingCall) -> Response:
    """Sets a limit, or changes the one of this scope, name, unit, window and model. What was used before counts."""
    target, services = body.target, call.services
    with of_field("amount"):
        written = ModelNames.of(services.settings, services.policy.catalog).limit_of(body.written)
    raised = body.raised
    if body.scope is Scope.ACCOUNT:
        check_account(services.settings.accounts, target.name)
    return await call.change(lambda operator: put_limit(operator, target, written, raised, shadow=body.shadow), _put)


@router.post("/explain", response_model=ExplanationShape, dependencies=[Unconditional])
async def explain_one_request(body: ExplainBody, call: ReadingCall, _: NoQuery) -> Response:
    """What a request would be held for at most, each limit that applies, and which one would refuse it."""
    services = call.services
    fields = body.model_dump(include={"model", "size", "quality", "n"}, exclude_none=True)
    wanted = normalize({"prompt": "-", **fields}, services.policy, services.today)

    def answer(operator: Operator) -> Response:
        shown = explain_request(operator, wanted, user=body.user, key_id=body.key).as_json()
        if call.principal.role not in (Role.ADMIN, Role.AUDITOR):
            shown["limits"] = [shown_limit(each, services) for each in shown["limits"]]
        return JsonAnswer({"object": "explanation", **shown})

    return await call.answer(answer)


@router.get("/{limit_id:int}", response_model=LimitShape)
async def show_one_limit(limit_id: LimitId, call: ReadingCall, _: NoQuery) -> Response:
    """One limit."""
    return await call.show("limit", lambda operator: show_limit(operator, limit_id).as_json())


@router.delete("/{limit_id:int}", response_model=LimitShape | DryRunShape)
async def remove_one_limit(limit_id: LimitId, call: ChangingCall) -> Response:
    """Removes the limit. What was used stays in the records."""
    return await call.change(
        lambda operator: remove_limit(operator, limit_id), lambda done: thing("limit", done.as_json())
    )


def _put(done: tuple[LimitView, bool]) -> Response:
    limit, is_new = done
    return thing("limit", limit.as_json(), 201 if is_new else 200)
