"""/admin/v1/keys: list, show, make, change, rotate, disable. A key's text is in the answer that made it, and nowhere
else.
"""

import hashlib
from datetime import timedelta
from typing import Annotated, cast

from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from app.admin.access.expected import etag_of
from app.admin.access.once import Once
from app.admin.keys import (
    KeyFields,
    WantedKey,
    change_key,
    create_key,
    create_key_once,
    disable_key,
    list_keys,
    rotate_key,
    rotate_key_once,
    show_key,
)
from app.admin.lookup.model_names import ModelNames
from app.admin.operator import Operator
from app.admin.views import KeyView, MintedKeyView
from app.admin_api.calls import ChangingCall, MakingCall, NoQuery, ReadingCall, Strict, thing
from app.admin_api.filters import TimesQuery
from app.admin_api.lists import listed, page_of
from app.admin_api.requests import StrictRoute, of_field
from app.admin_api.shapes.basics import DryRunShape, ListShape
from app.admin_api.shapes.people import KeyShape, MintedKeyShape
from app.admin_api.times import Moment
from app.api.services import Services
from app.identity.people.roles import Role

router = APIRouter(prefix="/admin/v1/keys", tags=["keys"], route_class=StrictRoute)

IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="A new one for each key that is to be made.", pattern="^[!-~]{1,255}$"),
]
KeyId = Annotated[str, Path(description="Its id, which is the middle of its text.", max_length=200)]
Models = Annotated[list[Annotated[str, Field(max_length=200)]] | None, Field(max_length=100)]

_DAY_SECONDS = 86_400


class KeyBody(Strict):
    """What is left out stays as it is."""

    name: str | None = Field(None, description="What it is for.", max_length=200)
    models: Models = Field(None, description="The models it may use, by any of their names; null: every model.")
    expires_at: Moment | None = Field(None, description="When it ends, in UTC if no zone is given; null: never.")
    role: Role | None = Field(None, description="What it administers; null: it is for images.")


class ChangedKeyBody(KeyBody):
    """What is left out stays as it is."""

    disabled: bool = Field(default=False, description="It does not work.")


class NewKeyBody(KeyBody):
    """A key to be made."""

    user: str = Field(description="Whose it is: a name or id. An admin's new name makes the user.", max_length=200)
    limits: list[Annotated[str, Field(max_length=300)]] = Field(
        default=[], description="Such as `images:100/day`, `usd:5/month@gpt-image-2`, `concurrent:3`.", max_length=100
    )


class RotateBody(Strict):
    """How the text is changed."""

    overlap_seconds: int = Field(
        _DAY_SECONDS, ge=0, le=366 * _DAY_SECONDS, description="So long the old text works on."
    )


class KeysQuery(TimesQuery):
    """Which keys."""

    user: str | None = Field(None, description="Only of the user with this name or id.", max_length=200)
    state: str | None = Field(None, pattern="^(active|expired|disabled)$", description="Only those in this state.")


@router.get("", response_model=ListShape[KeyShape])
async def list_all_keys(request: Request, call: ReadingCall, asked: Annotated[KeysQuery, Query()]) -> Response:
    """Keys, the oldest first."""

    def answer(operator: Operator) -> Response:
        found, now = list_keys(operator, asked.user), operator.now
        wished = (each for each in found if asked.state in (None, each.state(now)) and asked.has(each.key.created_at))
        rows, has_more = page_of([{"object": "key", **each.as_json()} for each in wished], asked)
        return listed(request, KeyShape, rows, has_more=has_more)

    return await call.answer(answer)


@router.post("", response_model=MintedKeyShape | DryRunShape, responses={201: {"model": MintedKeyShape}})
async def make_key(body: NewKeyBody, call: MakingCall, idempotency_key: IdempotencyKey = None) -> Response:
    """Makes a key. Its text is in this answer only. The same request with the same Idempotency-Key, within a week,
    makes no other one, and is answered without the text.
    """
    names = _names(call.services)
    with of_field("models"):
        models = None if body.models is None else tuple(map(names.id_of, body.models))
    with of_field("limits"):
        limits = names.limits_of(body.limits)
    wanted = WantedKey(body.user, body.name, models, body.expires_at, limits, body.role)
    once = _once(idempotency_key, "keys", body)

    def make(operator: Operator) -> MintedKeyView | KeyView:
        return create_key(operator, wanted) if once is None else create_key_once(operator, wanted, once)

    return await call.change(make, lambda made: _minted(made, 201))


@router.get("/{key_id}", response_model=KeyShape)
async def show_one_key(key_id: KeyId, call: ReadingCall, _: NoQuery) -> Response:
    """One key."""
    return await call.show("key", lambda operator: show_key(operator, key_id).as_json())


@router.put("/{key_id}", response_model=KeyShape | DryRunShape)
async def change_one_key(key_id: KeyId, body: ChangedKeyBody, call: ChangingCall) -> Response:
    """Changes what the body names. A key is made with POST."""
    fields = cast("KeyFields", body.model_dump(exclude_unset=True))
    if body.models is not None:
        with of_field("models"):
            fields["models"] = tuple(map(_names(call.services).id_of, body.models))
    return await call.change(
        lambda operator: change_key(operator, key_id, fields), lambda done: thing("key", done.as_json())
    )


@router.delete("/{key_id}", response_model=KeyShape | DryRunShape)
async def disable_one_key(key_id: KeyId, call: ChangingCall) -> Response:
    """Disables the key. Its records stay."""
    return await call.change(lambda operator: disable_key(operator, key_id), lambda done: thing("key", done.as_json()))


@router.post("/{key_id}/rotate", response_model=MintedKeyShape | DryRunShape)
async def rotate_one_key(
    key_id: KeyId, body: RotateBody, call: ChangingCall, idempotency_key: IdempotencyKey = None
) -> Response:
    """Gives the key a new text, which is in this answer only. Its id, limits and records stay. Idempotency-Key as for
    a new key.
    """
    overlap, once = timedelta(seconds=body.overlap_seconds), _once(idempotency_key, f"keys/{key_id}/rotate", body)

    def rotate(operator: Operator) -> MintedKeyView | KeyView:
        if once is None:
            return rotate_key(operator, key_id, overlap)
        return rotate_key_once(operator, key_id, overlap, once)

    return await call.change(rotate, lambda made: _minted(made, 200))


def _once(idempotency_key: str | None, path: str, body: Strict) -> Once | None:
    if idempotency_key is None:
        return None
    asked = f"{path}\n{body.model_dump_json()}"
    return Once(*(hashlib.sha256(text.encode()).hexdigest() for text in (idempotency_key, asked)))


def _minted(made: MintedKeyView | KeyView, status: int) -> Response:
    if isinstance(made, KeyView):
        answer = thing("key", made.as_json() | {"key": None})
        answer.headers["x-gateway-replayed"] = "true"
        return answer
    headers = {"etag": etag_of(made.key.as_json()), "cache-control": "no-store"}
    return JSONResponse({"object": "key", **made.as_json()}, status, headers)


def _names(services: Services) -> ModelNames:
    return ModelNames.of(services.settings, services.policy.catalog)
