"""The JSON of people, keys and limits, as the document describes it. The use cases' views make it; tests compare."""

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from app.identity.people.roles import Role

Item = TypeVar("Item")


class Shape(BaseModel):
    """An answer: every field is there, and no other."""

    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class ListShape(Shape, Generic[Item]):
    """A page of a list."""

    object: Literal["list"]
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ChangeShape(Shape):
    """A line of the list of changes."""

    id: int | None
    at: str | None
    actor: str
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class DryRunShape(Shape):
    """What a change would have added to the list of changes. Nothing was changed."""

    object: Literal["dry_run"]
    changes: list[ChangeShape]


_WRITTEN = "As they are written: `unit:amount/window`."


class TeamShape(Shape):
    """A team."""

    object: Literal["team"]
    id: str
    name: str
    users: list[str] = Field(description="Their names.")
    limits: list[str] = Field(description=_WRITTEN)
    created_at: str


class UserShape(Shape):
    """A user: a person, or a program."""

    object: Literal["user"]
    id: str
    name: str
    team: str | None
    team_id: str | None
    role: Role
    state: Literal["active", "disabled"]
    keys: list[str] = Field(description="Their ids.")
    limits: list[str] = Field(description=_WRITTEN)
    created_at: str
    disabled_at: str | None


class KeyShape(Shape):
    """A key, without its text."""

    object: Literal["key"]
    id: str
    name: str | None
    user: str
    user_id: str
    models: list[str] | None = Field(description="Their full ids; null: every model.")
    limits: list[str] = Field(description=_WRITTEN)
    role: Role | None = Field(description="What it administers; null: it is for images.")
    created_at: str
    expires_at: str | None
    disabled_at: str | None


class PrincipalShape(Shape):
    """Who asks."""

    actor: str
    role: Role
    permissions: dict[str, Literal["all", "team", "own", "none"]] = Field(description="How far each action reaches.")


class StatusShape(Shape):
    """Which gateway this is, and as whom one asks."""

    object: Literal["status"]
    version: str
    schema_: str = Field(alias="schema")
    revision: int = Field(description="It rises with every change.")
    you: PrincipalShape
