"""The parts of gateway.yaml, their fields and what each may hold. A field that is not mentioned is not the file's:
`model_fields_set` tells. Pure.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from app.errors import InvalidValue
from app.identity.people.names import checked_name
from app.quotas.rules.limits import parse_limit
from app.settings.values import Issuer, UpstreamUrl


def _limit(text: str) -> str:
    try:
        parse_limit(text)
    except InvalidValue as error:
        raise ValueError(error.message) from None
    return text


def _name(text: str) -> str:
    try:
        checked = checked_name(text, "name")
    except InvalidValue as error:
        raise ValueError(error.message.replace("The name of the name", "the name")) from None
    if checked != text:
        raise ValueError("it begins or ends with spaces, or its accents are spelt in an unusual way (not NFC)")
    return text


def _end(value: object) -> object:
    """A date means the end of that day in UTC, as everywhere."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        try:
            return datetime.combine(value, time(), UTC) + timedelta(days=1)
        except OverflowError:
            raise ValueError("it is too far away") from None
    if value is not None:
        raise ValueError("write a date such as 2027-01-31, or a time such as 2027-01-31T18:00:00Z, without quotes")
    return None


Name = Annotated[str, AfterValidator(_name), Field(min_length=1, max_length=80)]
Limit = Annotated[
    str, AfterValidator(_limit), Field(examples=["images:100/day", "usd:5/month@gpt-image-2", "concurrent:3"])
]
Model = Annotated[str, Field(min_length=1, max_length=120, examples=["gpt-image-2"])]
Expiry = Annotated[
    datetime | None,
    BeforeValidator(_end),
    PlainSerializer(lambda moment: moment.isoformat()),
    WithJsonSchema({"type": ["string", "null"], "examples": ["2027-01-31", "2027-01-31T18:00:00Z"]}),
]
Variable = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$", examples=["ZENMUX_KEY_SPARE"])]

TokenSha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Claim = Annotated[str, Field(min_length=1, max_length=200)]
Scope = Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,100}$")]
AccountName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,31}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_an_empty_mapping(cls, value: object) -> object:
        """`alice:` alone on its line."""
        return {} if value is None else value


class Limited(_Part):
    """What may have limits."""

    limits: list[Limit] = Field([], description="Limits in written form: unit:amount/window, or concurrent:N.")
    shadow_limits: list[Limit] = Field([], description="Limits that count and report, and refuse nothing.")


class TeamPart(Limited):
    """A team."""


class UserPart(Limited):
    """A user."""

    team: Name | None = Field(None, description="The team the user is in; null: none.")
    role: Literal["admin", "auditor", "lead", "member"] = Field("member", description="What the user may administer.")
    disabled: bool = Field(default=False, description="true: it is disabled. false says nothing: apply enables nobody.")


class KeyPart(Limited):
    """A key. Its address is user/name; `user` and `name` are needed where a user's name contains a slash."""

    user: Name | None = Field(None, description="Whose key it is, if the address does not say.")
    name: Name | None = Field(None, description="The key's name, if the address does not say.")
    models: list[Model] | None = Field(None, description="The models it may use; null: every model.")
    expires: Expiry = Field(None, description="When it ends, UTC: a date (that day included) or a time; null: never.")
    disabled: bool = Field(default=False, description="true: it is disabled. false says nothing: apply enables no key.")
    imported_sha256: TokenSha256 | None = Field(
        None, description="SHA-256 of the whole key that another gateway made: it works here too."
    )


class AccountPart(Limited):
    """A ZenMux key. The key itself is never in the file. Where the settings name the accounts, limits may be alone."""

    key_env: Variable | None = Field(None, description="The environment variable that has the key.")
    key_file: str | None = Field(None, description="The file that has the key.")
    management_key_env: Variable | None = Field(None, description="The variable with the account's management key.")
    management_key_file: str | None = Field(None, description="The file with the account's management key.")
    weight: int = Field(1, ge=1, le=100, description="Its share of requests beside the other accounts.")
    base_url: UpstreamUrl | None = Field(None, description="Where this account's ZenMux answers.")
    models: list[Model] | None = Field(None, description="The models it serves; null: every model.")


class GroupTeam(_Part):
    """People with this group of the identity provider are in this team."""

    group: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="A group's name; * for everybody.")
    team: Name | None = Field(None, description="The team; null: none.")
    role: Literal["auditor", "lead", "member"] = Field("member", description="What they may administer.")


class ProviderPart(_Part):
    """An identity provider that speaks OpenID Connect. Its secret is never in the file."""

    issuer: Issuer = Field(description="The provider's address, as its tokens have it.")
    client_id: Annotated[str, Field(min_length=1, max_length=255)] = Field(description="The gateway's name there.")
    client_secret_env: Variable | None = Field(None, description="The environment variable that has the secret.")
    client_secret_file: str | None = Field(None, description="The file that has the secret; neither: a public client.")
    label: Name | None = Field(None, description="What the button says; unset: the provider's name here.")
    scopes: list[Scope] = Field(["openid", "profile", "email"], description="What is asked for.")
    name_claim: Claim = Field("preferred_username", description="The claim that names a new user.")
    groups_claim: Claim = Field("groups", description="The claim with the groups; dots lead into it.")
    newcomers: Literal["nobody", "groups", "everybody"] = Field(
        "nobody", description="Who becomes a user by signing in: nobody, those whose groups are named here, everybody."
    )
    links_by_email: bool = Field(
        default=False, description="A verified address signs in the user who has it as a name."
    )


class OidcPart(_Part):
    """Who signs people in to the console, and which team and role their groups give them."""

    providers: dict[AccountName, ProviderPart] = Field({}, description="Identity providers by name.")
    teams: list[GroupTeam] = Field([], description="Groups to teams, in order; the first that fits counts.")
    admin_groups: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        [], description="Groups whose people are admins."
    )


class Document(_Part):
    """A whole file."""

    model_config = ConfigDict(title="gateway.yaml")

    @model_validator(mode="before")
    @classmethod
    def _an_empty_section_is_no_section(cls, value: object) -> object:
        return {name: part for name, part in value.items() if part is not None} if isinstance(value, dict) else value

    version: Literal[1] = Field(description="The form of this file.")
    gateway: Limited = Field(Limited(), description="Limits of everybody together.")
    defaults: Limited = Field(Limited(), description="Limits that every new user gets a copy of.")
    teams: dict[Name, TeamPart] = Field({}, description="Teams by name.")
    users: dict[Name, UserPart] = Field({}, description="Users by name.")
    keys: dict[str, KeyPart] = Field({}, description="Keys by user/name. Their secrets are minted: `keys rotate`.")
    accounts: dict[AccountName, AccountPart] = Field({}, description="ZenMux keys by name.")
    oidc: OidcPart = Field(OidcPart(), description="Teams and roles of people who sign in.")
    catalog: dict[str, Any] = Field({}, description="Models and prices over the built-in ones, as in the catalog file.")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a file, for editors and checks."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Document.model_json_schema()}
