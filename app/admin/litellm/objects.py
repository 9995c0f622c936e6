"""What a LiteLLM proxy says of its teams, users, keys and models, checked. Only what the import uses has a type; of the
rest, the names are known. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from app.errors import InvalidValue

_Part = TypeVar("_Part", bound="_Said")


def _nothing_is_empty(value: object) -> object:
    return [] if value is None else value


def _nothing_is_an_empty_mapping(value: object) -> object:
    return value if isinstance(value, dict) else {}


Words = Annotated[list[str], BeforeValidator(_nothing_is_empty), Field(max_length=1000)]
Mapped = Annotated[dict[str, Any], BeforeValidator(_nothing_is_an_empty_mapping)]
Moment = Annotated[datetime, AfterValidator(lambda moment: moment.replace(tzinfo=moment.tzinfo or UTC))]
Text = Annotated[str, Field(max_length=1000)]
Usd = Annotated[float, Field(allow_inf_nan=False)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, coerce_numbers_to_str=True)

    @property
    def others(self) -> frozenset[str]:
        """The names of what it says beside the typed fields, and that is not empty."""
        extra: Mapping[str, Any] = self.model_extra or {}
        return frozenset(name for name, value in extra.items() if value)


class LitellmBudget(_Said):
    """Limits, in LiteLLM's words."""

    max_budget: Usd | None = None
    budget_duration: Text | None = None
    soft_budget: Usd | None = None
    rpm_limit: int | None = None
    tpm_limit: int | None = None
    tpd_limit: int | None = None
    max_parallel_requests: int | None = None
    model_max_budget: Mapped = {}
    budget_limits: Annotated[list[dict[str, Any]], BeforeValidator(_nothing_is_empty)] = []


class LitellmOwner(LitellmBudget):
    """What a team, a user and a key have in common."""

    models: Words = []
    metadata: Mapped = {}
    spend: Usd | None = None
    litellm_budget_table: LitellmBudget | None = None


class LitellmMember(_Said):
    """Somebody in a team."""

    user_id: Text | None = None
    role: Text | None = None


class LitellmTeam(LitellmOwner):
    """A team."""

    team_id: Text
    team_alias: Text | None = None
    blocked: bool | None = None
    members_with_roles: Annotated[list[LitellmMember], BeforeValidator(_nothing_is_empty)] = []
    team_memberships: Annotated[list[dict[str, Any]], BeforeValidator(_nothing_is_empty)] = []


class LitellmUser(LitellmOwner):
    """An internal user."""

    user_id: Text
    user_email: Text | None = None
    user_alias: Text | None = None
    user_role: Text | None = None
    teams: Words = []


class LitellmKey(LitellmOwner):
    """A virtual key; `token` is the SHA-256 of its text, in hex."""

    token: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]
    key_alias: Text | None = None
    key_name: Text | None = None
    user_id: Text | None = None
    team_id: Text | None = None
    expires: Moment | None = None
    blocked: bool | None = None
    key_type: Text | None = None
    allowed_routes: Words = []


class Deployment(_Said):
    """One entry of the model list."""

    model_name: Text
    litellm_params: Mapped = {}
    model_info: Mapped = {}


@dataclass(frozen=True, slots=True)
class Proxy:
    """All that is known of a proxy. `settings`: its config.yaml without the model list."""

    teams: Sequence[LitellmTeam] = ()
    users: Sequence[LitellmUser] = ()
    keys: Sequence[LitellmKey] = ()
    deployments: Sequence[Deployment] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def checked(kind: type[_Part], said: object, where: str) -> list[_Part]:
    """The parts of a list. Raises InvalidValue that names the part of `where` that is odd; no value is repeated."""
    if not isinstance(said, list):
        raise InvalidValue(f"{where} is no list.")
    return [_one(kind, each, f"{where}[{number}]") for number, each in enumerate(said)]


def _one(kind: type[_Part], said: object, where: str) -> _Part:
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        raise InvalidValue(f"{where} is not as LiteLLM writes it: {', '.join(_faults(error))}.") from None


def _faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_input=False, include_context=False)[:3]:
        yield f"{'.'.join(map(str, fault['loc'])) or 'it'} ({fault['msg']})"
