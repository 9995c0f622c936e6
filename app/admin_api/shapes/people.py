"""The JSON of teams, users, keys and limits."""

from typing import Literal

from pydantic import Field

from app.admin_api.shapes.basics import Shape
from app.identity.people.roles import Role
from app.quotas.rules.limits import Scope, Unit, Window

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


class MintedKeyShape(KeyShape):
    """A key with its text, which nobody sees again."""

    key: str | None = Field(description="null: the same request made it before.")


class LimitShape(Shape):
    """A limit. `amount_usd` and `amount_nanousd` are there for dollars, `amount` for everything else."""

    object: Literal["limit"]
    id: str
    limit: str = Field(description=_WRITTEN)
    scope: Scope
    scope_id: str | None
    name: str | None = Field(description="Whose it is, for people.")
    unit: Unit
    window: Window
    model: str | None
    shadow: bool = Field(description="It only counts, and shows what it would refuse.")
    amount: int | None = None
    amount_usd: str | None = None
    amount_nanousd: int | None = None
    raised_to: int | str | None = Field(description="Until `raised_until` it allows so much, dollars as text.")
    raised_until: str | None
