"""What all answers share: pages, the list of changes, the status. Use cases make the JSON; tests compare."""

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from app.identity.people.roles import Role

Item = TypeVar("Item")


class Shape(BaseModel):
    """An answer: every field is there, and no other."""

    model_config = ConfigDict(extra="forbid")


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


class PrincipalShape(Shape):
    """Who asks."""

    actor: str
    role: Role
    permissions: dict[str, Literal["all", "team", "own", "none"]] = Field(description="How far each action reaches.")


class ReloadShape(Shape):
    """The configuration in use after a reload."""

    object: Literal["reload"]
    hash: str = Field(description="Equal for gateways of one database with the same configuration.")
    read_at: str
    needs_restart: list[str] = Field(description="Settings that have changed and stay as they were until a restart.")
    models: list[str] = Field(description="A line for each model that has changed: up to 20.")


class ReloadTrialShape(DryRunShape):
    """What a reload would find, and what its set-up file would add to the list of changes."""

    hash: str = Field(description="What it would be: another one than now, if something would change.")
    needs_restart: list[str]
    models: list[str] = Field(description="A line for each model that would change: up to 20.")


class StatusShape(Shape):
    """Which gateway this is, and as whom one asks."""

    object: Literal["status"]
    version: str
    schema_: str = Field(alias="schema")
    revision: int = Field(description="It rises with every change.")
    you: PrincipalShape
