"""What a route is called with: who asks, what they expect to find, whether it is a trial; how answers are made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.admin.access.expected import ANYTHING, Expected, etag_of
from app.admin.changes import trial_change_json
from app.admin.operator import Operator
from app.admin_api.access import Asking
from app.admin_api.json_answers import JsonAnswer
from app.api.services import Services, services_of
from app.database.changes import RecordedChange
from app.errors import InvalidRequest
from app.identity.people.principal import Principal

_T = TypeVar("_T")


class Strict(BaseModel):
    """A query or a body: it takes these names and no other."""

    model_config = ConfigDict(extra="forbid")


class ChangeQuery(Strict):
    """The query of every change."""

    dry_run: bool = Field(
        default=False, description="Changes nothing, and shows what would be added to the list of changes."
    )


NoQuery = Annotated[Strict, Query()]


@dataclass(frozen=True, slots=True)
class Reading:
    """A request that only reads."""

    services: Services
    principal: Principal

    async def answer(self, make: Callable[[Operator], Response]) -> Response:
        """What `make` returns or raises. It reads, shapes the rows and writes them as JSON or CSV, all in a thread of
        its own: thousands of rows would hold the event loop.
        """
        return await self.services.administration.read(self.principal, make)

    async def show(self, kind: str, use_case: Callable[[Operator], dict[str, Any]]) -> Response:
        """One thing with its ETag. `kind` is its `object`."""
        return await self.answer(lambda operator: thing(kind, use_case(operator)))


@dataclass(frozen=True, slots=True)
class Changing:
    """A request that changes something, if `expected` is what there is; a trial if `is_trial`."""

    services: Services
    principal: Principal
    expected: Expected
    is_trial: bool

    async def change(self, use_case: Callable[[Operator], _T], answer: Callable[[_T], Response]) -> Response:
        """What `answer` makes of the result; of a trial, what would be added to the list of changes. Both run in a
        thread of their own.
        """
        trial: list[RecordedChange] | None = [] if self.is_trial else None

        def make(operator: Operator) -> Response:
            done = use_case(operator)
            if trial is None:
                return answer(done)
            return JsonAnswer({"object": "dry_run", "changes": list(map(trial_change_json, trial))})

        return await self.services.administration.change(self.principal, make, self.expected, trial)


def thing(kind: str, shown: dict[str, Any], status: int = 200) -> Response:
    """The answer with one thing and its ETag."""
    return JsonAnswer({"object": kind, **shown}, status, {"etag": etag_of(shown)})


async def _reading(request: Request, principal: Asking) -> Reading:
    return Reading(services_of(request), principal)


async def _refuse_conditions(request: Request) -> None:
    """For what has no ETag: a header that is passed over would be taken for kept. Raises InvalidRequest."""
    for name in ("If-Match", "If-None-Match"):
        if name in request.headers:
            message = f"{name} is for what has an ETag, and nothing that this changes has one. Leave it out."
            raise InvalidRequest(message, param=name, code="invalid_value")


Unconditional = Depends(_refuse_conditions)


async def _making(request: Request, principal: Asking, asked: Annotated[ChangeQuery, Query()]) -> Changing:
    await _refuse_conditions(request)
    return Changing(services_of(request), principal, ANYTHING, asked.dry_run)


async def _changing(
    request: Request,
    principal: Asking,
    asked: Annotated[ChangeQuery, Query()],
    if_match: Annotated[str | None, Header(description="Changes it only if this is its ETag; else 412.")] = None,
    if_none_match: Annotated[str | None, Header(description="`*`: makes it only if it is not there; else 412.")] = None,
) -> Changing:
    if if_none_match not in (None, "*"):
        message = "If-None-Match takes * here: make it only if it is not there."
        raise InvalidRequest(message, param="If-None-Match", code="invalid_value")
    etags = None if if_match is None else frozenset(each.strip() for each in if_match.split(","))
    return Changing(services_of(request), principal, Expected(etags, if_none_match is not None), asked.dry_run)


ReadingCall = Annotated[Reading, Depends(_reading)]
ChangingCall = Annotated[Changing, Depends(_changing)]
MakingCall = Annotated[Changing, Depends(_making)]
"""A change of what has no ETag yet, or of many things."""
